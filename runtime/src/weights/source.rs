//! Where the bytes of a file come from: memory, or the file itself, of which parts are read.

#[cfg(feature = "std")]
pub(crate) use opened::Opened;

use crate::error::Error;

/// A file whose bytes can be had in any order.
pub(crate) trait Source {
    /// How many there are.
    fn len(&mut self) -> Result<u64, Error>;

    /// Fills `to` with those from `at` on, which are there.
    fn read(&mut self, at: u64, to: &mut [u8]) -> Result<(), Error>;
}

impl Source for &[u8] {
    fn len(&mut self) -> Result<u64, Error> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read(&mut self, at: u64, to: &mut [u8]) -> Result<(), Error> {
        let at = at as usize;
        to.copy_from_slice(&self[at..at + to.len()]);
        Ok(())
    }
}

#[cfg(feature = "std")]
mod opened {
    use std::fs::File;
    use std::io::{self, Read, Seek, SeekFrom};
    use std::path::{Path, PathBuf};

    use super::Source;
    use crate::error::Error;

    /// A file of which parts are read.
    pub(crate) struct Opened {
        file: File,
        path: PathBuf,
    }

    impl Opened {
        pub fn new(path: &Path) -> Result<Self, Error> {
            match File::open(path) {
                Ok(file) => Ok(Self { file, path: path.to_path_buf() }),
                Err(source) => Err(Error::Io { action: "read", path: path.to_path_buf(), source }),
            }
        }

        fn said<T>(&self, result: io::Result<T>) -> Result<T, Error> {
            result.map_err(|source| Error::Io { action: "read", path: self.path.clone(), source })
        }
    }

    impl Source for Opened {
        fn len(&mut self) -> Result<u64, Error> {
            let length = self.file.metadata().map(|metadata| metadata.len());
            self.said(length)
        }

        fn read(&mut self, at: u64, to: &mut [u8]) -> Result<(), Error> {
            let result = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(to));
            self.said(result)
        }
    }
}
