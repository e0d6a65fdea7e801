//! A thread beside the writer's, which waits for the disk where the writer need not.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};

type Work = Box<dyn FnOnce() + Send>;

/// The thread. It ends when this is dropped.
pub(super) struct Aside(Sender<Work>);

/// What the thread is at.
pub(super) struct Doing<T>(Receiver<T>);

impl Aside {
    pub(super) fn start() -> io::Result<Self> {
        let (begin, works) = mpsc::channel::<Work>();
        std::thread::Builder::new()
            .name("store-aside".to_owned())
            .spawn(move || works.into_iter().for_each(|work| work()))?;
        Ok(Self(begin))
    }

    /// Has this done, after all that was begun before.
    pub(super) fn begin<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Doing<T> {
        let (tell, done) = mpsc::channel();
        // Without the thread, the end says so.
        let _ = self.0.send(Box::new(move || drop(tell.send(work()))));
        Doing(done)
    }
}

impl<T> Doing<T> {
    /// Waits for its end.
    pub(super) fn end(self) -> io::Result<T> {
        self.0.recv().map_err(|_| io::Error::other("the thread that waits for the disk has ended"))
    }

    /// The outcome if it is done, else itself again.
    pub(super) fn try_end(self) -> Result<io::Result<T>, Self> {
        match self.0.try_recv() {
            Err(mpsc::TryRecvError::Empty) => Err(self),
            Ok(outcome) => Ok(Ok(outcome)),
            Err(mpsc::TryRecvError::Disconnected) => Ok(self.end()),
        }
    }
}
