//! How long to wait: jitter and back-off.

use sha2::Digest;
use std::time::Duration;

/// How long to wait after failures: twice as long each time, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Backoff {
    /// Returns the wait after `failures` failures in a row, somewhere between half of the full wait and all of it.
    ///
    /// Half of the wait is left to chance, so that hosts that failed together do not come back together.
    pub fn delay(&self, failures: u32, seed: u64) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let factor = 2_u32.saturating_pow(doublings);
        let full = self.first.saturating_mul(factor).min(self.most);
        full.mul_f64(0.5 + fraction(seed) / 2.0).min(self.most)
    }
}

/// Returns `base` with up to a tenth added or taken away.
///
/// Agents that were started by one command otherwise poll in step for ever.
pub fn jitter(base: Duration, seed: u64) -> Duration {
    base.mul_f64(0.9 + fraction(seed) / 5.0)
}

/// Returns a seed for the `count`-th choice of what `name` stands for, the same on every run.
pub fn seed(name: &str, count: u64) -> u64 {
    let digest = sha2::Sha256::new().chain_update(name.as_bytes()).chain_update(count.to_le_bytes()).finalize();
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// Returns a number in `0.0..1.0` that `seed` decides (SplitMix64's mixing step).
fn fraction(seed: u64) -> f64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(10), most: Duration::from_secs(3600) };

    #[test]
    fn no_failure_means_no_wait() {
        assert_eq!(BACKOFF.delay(0, 7), Duration::ZERO);
    }

    #[test]
    fn seeds_differ_by_name_and_count_and_repeat() {
        assert_eq!(seed("web-1", 3), seed("web-1", 3));
        assert_ne!(seed("web-1", 3), seed("web-2", 3));
        assert_ne!(seed("web-1", 3), seed("web-1", 4));
    }

    proptest! {
        #[test]
        fn waits_stay_in_bounds(failures in 1_u32.., seed in any::<u64>()) {
            let delay = BACKOFF.delay(failures, seed);
            let full = BACKOFF.first.saturating_mul(2_u32.saturating_pow(failures - 1)).min(BACKOFF.most);
            prop_assert!(delay >= full / 2 && delay <= full, "{delay:?} of {full:?}");
        }

        #[test]
        fn jitter_is_at_most_a_tenth(seconds in 0_u64..1_000_000, seed in any::<u64>()) {
            let base = Duration::from_secs(seconds);
            let wait = jitter(base, seed);
            prop_assert!(wait >= base.mul_f64(0.9) && wait <= base.mul_f64(1.1));
        }
    }
}
