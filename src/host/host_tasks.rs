//! The tasks of one host: starts them, and stops or aborts them together.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::net::{Limits, Listener, ServerConfig, Service, Stop, TlsAcceptor, serve_until};

/// The running tasks of one host, or those that belong to none.
#[derive(Clone, Default)]
pub(super) struct HostTasks {
    /// Fires when the tasks should end in an orderly way.
    pub(super) stop: Stop,
    /// Fires when the tasks are dropped where they are, as if the process were killed.
    pub(super) end: Stop,
    /// Delay before each task starts.
    startup_delay: Duration,
    tracker: TaskTracker,
}

impl HostTasks {
    /// An empty set whose tasks start after this delay.
    pub(super) fn delayed(startup_delay: Duration) -> Self {
        Self { startup_delay, ..Self::default() }
    }

    /// Spawns a task, which must end when `stop` fires. It starts after the startup delay, or never if `stop` fires
    /// before.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.startup_delay.is_zero() {
            self.tracker.spawn(task);
            return;
        }
        let (stop, startup_delay) = (self.stop.clone(), self.startup_delay);
        self.tracker.spawn(async move {
            if stop.run_until_cancelled(sleep(startup_delay)).await.is_some() {
                task.await;
            }
        });
    }

    /// Spawns a server for a listener, with the default [`Limits`]. It ends when `stop` fires, and drops its
    /// connections when `end` does.
    pub(super) fn serve(&self, listener: Listener, tls: Option<TlsAcceptor>, service: impl Service) {
        let config = ServerConfig { listener, tls, limits: Limits::default() };
        self.spawn(serve_until(config, service, self.stop.clone(), self.end.clone()));
    }

    /// Drops all tasks where they are, and waits until they are dropped.
    pub(super) async fn abort(&self) {
        self.end.cancel();
        self.shut_down().await;
    }

    /// Fires `stop` and waits until all tasks have ended, without a limit of time.
    pub(super) async fn shut_down(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
