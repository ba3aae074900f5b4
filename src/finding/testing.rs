//! For tests of what must not take long.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Returns the processor time that this thread has used: what other programs do to the machine does not count.
pub fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
