//! The settings that libgit2 keeps for the whole process, and the one transport that is ours.

use super::transport;
use std::sync::Once;

/// The largest object that a fetched pack may hold; libgit2's own limit is 2 GiB.
const OBJECT_LIMIT: usize = 512 << 20;
/// Trees up to this size stay parsed in memory; libgit2's own limit of 4 kB reads a folder of 200 files again and again.
const TREE_CACHE_LIMIT: usize = 1 << 20;

/// Makes libgit2 ready, once per process. Every way into this room comes through here first.
pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        git2::opts::strict_hash_verification(true);
        git2::opts::strict_object_creation(true);
        set_options();
    });
}

/// Sets what git2 marks as unsafe because libgit2 keeps it in plain global variables.
#[allow(unsafe_code)]
fn set_options() {
    use git2::ConfigLevel::{Global, ProgramData, System, XDG};
    // SAFETY: these functions ask to be called while no other thread is in libgit2. `Once` lets one thread in and keeps
    // the others out until it is done, and no code outside this room uses libgit2. The two raw options take one argument
    // each, of the C types `int` and `size_t`, as documented in git2/common.h.
    unsafe {
        // Nobody's ~/.gitconfig or /etc/gitconfig may change what a fetch does.
        for level in [ProgramData, System, XDG, Global] {
            let _ = git2::opts::set_search_path(level, "");
        }
        // A local remote may belong to another user. libgit2 runs no hooks and no programs that a repository's
        // configuration names, which is what that check is there to prevent.
        let _ = git2::opts::set_verify_owner_validation(false);
        let _ = git2::opts::set_cache_object_limit(git2::ObjectType::Tree, TREE_CACHE_LIMIT);
        // Without this a power cut can leave empty refs and torn packs.
        libgit2_sys::git_libgit2_opts(
            libgit2_sys::GIT_OPT_ENABLE_FSYNC_GITDIR as std::ffi::c_int,
            1 as std::ffi::c_int,
        );
        libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_SET_PACK_MAX_OBJECT_SIZE as std::ffi::c_int, OBJECT_LIMIT);
        // A failure here shows at the first fetch, as "unsupported URL protocol".
        let _ = git2::transport::register(transport::SCHEME, transport::begin);
    }
}
