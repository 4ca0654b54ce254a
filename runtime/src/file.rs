//! Files, read and written whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_path_buf(), source })
}

/// Writes a file under another name in the same directory and renames it, so that under its own name there is always
/// either the whole old file or the whole new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // Through a link the file that it names is replaced, and not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let temporary = temporary_name(&target);
    let write = || -> io::Result<()> {
        let mut file = File::create_new(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
            drop(file);
            fs::rename(&temporary, &target)
        });
        written.inspect_err(|_| {
            // The error that is reported is the one above, whether or not the rest can be cleared away.
            fs::remove_file(&temporary).ok();
        })
    };
    write().map_err(|source| Error::Io { action: "write", path: path.to_path_buf(), source })
}

/// A name in the same directory that no other call, thread or process has.
fn temporary_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}
