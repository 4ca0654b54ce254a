//! Where the examples read and write.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{FileError, Problem};

/// A path in this crate, however the program was started.
pub fn in_crate(path: &str) -> PathBuf {
    shortened(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

/// A path as a person in the current folder would write it.
fn shortened(path: PathBuf) -> PathBuf {
    let relative = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    relative.unwrap_or(path)
}

/// Makes a folder and those above it.
///
/// # Errors
///
/// [`Problem::Write`]
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|error| FileError::new(path, Problem::Write(error)))
}

/// Writes a file under another name beside it and then renames it: there is never half a file, and no old one is lost to
/// a failure.
///
/// # Errors
///
/// [`Problem::Write`]
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    // The folder of a name alone is the empty path.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Others may read what programs write, as far as the user's mask lets them.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let written = builder.tempfile_in(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    });
    written.map_err(|error| FileError::new(path, Problem::Write(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_folder(&inner).unwrap();
        let path = inner.join("file");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"").unwrap();
        let error = create_folder(&file.join("below")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write ") && error.to_string().contains("below"), "{error}");

        // A folder stands where the file should go.
        let taken = folder.path().join("taken");
        create_folder(&taken.join("inner")).unwrap();
        let error = write(&taken, b"bytes").unwrap_err();
        assert!(matches!(error, FileError { ref path, problem: Problem::Write(_) } if *path == taken), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
