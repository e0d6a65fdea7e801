//! How long a host is on.

use std::time::Duration;

use tokio::time::sleep;

use super::Stop;

/// How long sessions of a host that is turned off may go on.
const GRACE: Duration = Duration::from_secs(5);

/// The time from the start of a host to its end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifetime {
    stop: Stop,
    end: Stop,
}

impl Lifetime {
    /// Until `stop` fires, when all should end in order, or `end`, when it ends where it is.
    pub fn new(stop: Stop, end: Stop) -> Self {
        Self { stop, end }
    }

    /// Fires when all should end in order.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Fires when all ends where it is.
    pub fn end(&self) -> &Stop {
        &self.end
    }

    /// Whether `stop` or `end` has fired: the host is off, or about to be.
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.end.is_cancelled()
    }

    /// Runs a session of the host; `None` if it was dropped where it was, since `end` fired, or `stop` did and the
    /// session did not end within 5 s.
    pub async fn run<T>(&self, session: impl Future<Output = T>) -> Option<T> {
        let over = async {
            tokio::select! {
                biased;
                () = self.end.cancelled() => {}
                () = async { self.stop.cancelled().await; sleep(GRACE).await } => {}
            }
        };
        tokio::select! {
            biased;
            outcome = session => Some(outcome),
            () = over => None,
        }
    }
}
