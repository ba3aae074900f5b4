//! Shamir's secret sharing over GF(2^8), as HashiCorp Vault and SOPS do it.

use zeroize::Zeroizing;

/// Puts a secret together from its shares: each is the secret's length and one byte more, its x.
///
/// `None` when the shares cannot belong together. Too few of them give a wrong secret, not an error.
pub(super) fn combine(shares: &[Zeroizing<Vec<u8>>]) -> Option<Zeroizing<Vec<u8>>> {
    let length = shares.first()?.len().checked_sub(1).filter(|it| *it > 0)?;
    let xs: Vec<u8> = shares.iter().filter_map(|it| it.last().copied()).collect();
    let is_distinct = xs.iter().enumerate().all(|(idx, x)| *x != 0 && !xs[..idx].contains(x));
    if shares.len() < 2 || !is_distinct || shares.iter().any(|it| it.len() != length + 1) {
        return None;
    }
    let weights: Vec<u8> = (0..xs.len()).map(|idx| weight(&xs, idx)).collect();
    let byte =
        |at: usize| shares.iter().zip(&weights).fold(0, |sum, (share, weight)| sum ^ multiply(share[at], *weight));
    Some(Zeroizing::new((0..length).map(byte).collect()))
}

/// Returns the value at 0 of the Lagrange polynomial that is 1 at `xs[idx]` and 0 at the others.
fn weight(xs: &[u8], idx: usize) -> u8 {
    let others = xs.iter().enumerate().filter(|(other, _)| *other != idx);
    others.fold(1, |product, (_, x)| multiply(product, multiply(*x, invert(x ^ xs[idx]))))
}

/// Multiplies modulo x^8 + x^4 + x^3 + x + 1, in the same time for all values.
pub(super) fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0u8, |product, bit| {
        let carry = (product >> 7).wrapping_neg() & 0x1b;
        (product << 1) ^ carry ^ ((b >> bit) & 1).wrapping_neg() & a
    })
}

/// Returns the inverse of a number that is not 0: its 254th power.
fn invert(a: u8) -> u8 {
    (0..6).fold(multiply(a, a), |power, _| multiply(multiply(power, power), multiply(a, a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(secret: &[u8], slope: u8, x: u8) -> Zeroizing<Vec<u8>> {
        let mut share: Vec<u8> = secret.iter().map(|it| it ^ multiply(slope, x)).collect();
        share.push(x);
        Zeroizing::new(share)
    }

    #[test]
    fn multiplication_is_that_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        assert!((1..=255).all(|it| multiply(it, invert(it)) == 1));
    }

    #[test]
    fn shares_that_do_not_belong_together_are_refused() {
        let [one, two] = [share(b"key", 5, 1), share(b"key", 5, 2)];
        assert!(combine(&[]).is_none());
        assert!(combine(std::slice::from_ref(&one)).is_none());
        assert!(combine(&[one.clone(), one.clone()]).is_none());
        assert!(combine(&[one, share(b"keys", 5, 2)]).is_none());
        assert!(combine(&[two, Zeroizing::new(vec![])]).is_none());
    }

    #[test]
    fn any_two_shares_of_two_give_the_secret() {
        let shares = [1, 2, 9].map(|x| share(b"secret", 77, x));
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let secret = combine(&pair.map(|idx| shares[idx].clone())).expect("the shares fit");
            assert_eq!(secret.as_slice(), b"secret");
        }
    }
}
