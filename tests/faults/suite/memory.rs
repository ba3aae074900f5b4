//! Memory that processes share.

#![allow(unsafe_code, reason = "memory that is shared with a child has no safe form")]

/// Returns memory that this process shares with those that it forks; it stays for as long as the process.
///
/// # Safety
///
/// All bytes zero must be a value of `T`, and what processes write to at the same time must be atomic.
pub unsafe fn shared<T>() -> &'static T {
    let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: fresh pages are zero, aligned for any type, and never unmapped.
    unsafe {
        let pages = libc::mmap(std::ptr::null_mut(), size_of::<T>(), read_write, shared, -1, 0);
        assert!(pages != libc::MAP_FAILED, "there is memory");
        &*pages.cast::<T>()
    }
}
