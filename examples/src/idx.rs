//! The IDX format, in which MNIST and its kin are distributed: a magic number, the sizes of the axes, then the numbers.
//!
//! The magic number is two zero bytes, the type of the numbers (8: unsigned bytes, the only one here) and the number of
//! axes; the sizes are big-endian 32-bit numbers. Files are plain or packed with gzip.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{FileError, Problem};

/// The contents of an IDX file of bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Idx {
    /// Sizes of the axes: the number of items, then the shape of each.
    pub shape: Vec<usize>,
    /// The numbers, the last axis fastest.
    pub bytes: Vec<u8>,
}

/// Reads an IDX file with this many axes. A file called `.gz` is unpacked.
///
/// # Errors
///
/// A file that cannot be read, that is no IDX file of bytes with so many axes, or that is shorter or longer than its
/// header says.
pub fn read(path: &Path, axes: usize) -> Result<Idx, FileError> {
    let fail = |problem| FileError::new(path, problem);
    let mut file = BufReader::new(File::open(path).map_err(|error| fail(Problem::Read(error)))?);
    if path.extension().is_none_or(|extension| extension != "gz") {
        return parse(&mut file, axes, Problem::Read).map_err(fail);
    }
    let mut first = [0; 2];
    let found = fill(&mut file, &mut first).map_err(|error| fail(Problem::Read(error)))?;
    if first[..found] != [0x1f, 0x8b] {
        return Err(fail(Problem::NotGzip));
    }
    let whole = BufReader::new(first.as_slice().chain(file));
    parse(&mut MultiGzDecoder::new(whole), axes, Problem::Gzip).map_err(fail)
}

/// Reads to the end. `unreadable` says what an error of the reader means.
fn parse(reader: &mut impl Read, axes: usize, unreadable: fn(io::Error) -> Problem) -> Result<Idx, Problem> {
    let header = 4 + 4 * axes;
    let mut bytes = vec![0; header];
    let found = fill(reader, &mut bytes).map_err(unreadable)?;
    let expected = [0, 0, 8, axes as u8];
    if found >= 4 && bytes[..4] != expected {
        return Err(Problem::Magic { found: [bytes[0], bytes[1], bytes[2], bytes[3]], expected });
    }
    if found < header {
        return Err(Problem::Header { expected: header, found });
    }
    let sizes = bytes[4..].chunks_exact(4).map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]));
    let shape: Vec<usize> = sizes.map(|size| size as usize).collect();
    let Some(expected) = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size)) else {
        return Err(Problem::TooLarge(shape));
    };

    // The vector grows with what is there: a wrong header must not ask for memory. One byte more than announced tells
    // a file that goes on, and makes the unpacking come to the end, where gzip has its checksum.
    bytes.clear();
    reader.take((expected as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() {
        found if found < expected => Err(Problem::Length { shape, expected, found: Some(found) }),
        found if found > expected => Err(Problem::Length { shape, expected, found: None }),
        _ => Ok(Idx { shape, bytes }),
    }
}

/// Fills the buffer as far as there is something to read, and says how far.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while found < buffer.len() {
        match reader.read(&mut buffer[found..]) {
            Ok(0) => break,
            Ok(more) => found += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;

    /// A header and bytes behind it.
    pub(crate) fn idx(shape: &[u32], bytes: &[u8]) -> Vec<u8> {
        let sizes = shape.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, shape.len() as u8].into_iter().chain(sizes).chain(bytes.iter().copied()).collect()
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What reading a file of two axes with these bytes says, without the folder's name.
    fn error(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, 2).unwrap_err();
        assert_eq!(error.path, path);
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn plain_and_packed_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let expected = Idx { shape: vec![2, 3], bytes: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(read(&written(folder.path(), "plain", &bytes), 2).unwrap(), expected);
        assert_eq!(read(&written(folder.path(), "packed.gz", &gzip(&bytes)), 2).unwrap(), expected);
        // Two gzip streams behind one another are one file.
        let parts = [gzip(&bytes[..5]), gzip(&bytes[5..])].concat();
        assert_eq!(read(&written(folder.path(), "parts.gz", &parts), 2).unwrap(), expected);
    }

    #[test]
    fn broken_files_are_named_with_what_is_wrong() {
        let good = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let packed = gzip(&good);
        assert_eq!(
            error("a", &good[..good.len() - 2]),
            "a is cut off: its header announces 2 items of 3, which take 6 bytes, but 4 are there"
        );
        assert_eq!(
            error("a.gz", &gzip(&good[..13])),
            "a.gz is cut off: its header announces 2 items of 3, which take 6 bytes, but 1 are there"
        );
        assert_eq!(
            error("a", &[&good[..], &[7]].concat()),
            "a goes on after its end: its header announces 2 items of 3, which take 6 bytes, and more are there"
        );
        assert_eq!(error("a", &[]), "a is cut off: it has 0 bytes, and the header alone takes 12");
        assert_eq!(error("a", &good[..9]), "a is cut off: it has 9 bytes, and the header alone takes 12");
        assert_eq!(
            error("a", b"<html><body>"),
            "a is not the IDX file it should be: it begins with 3c 68 74 6d, not with 00 00 08 02"
        );
        assert_eq!(
            error("a", &packed),
            "a is not the IDX file it should be: it begins with 1f 8b 08 00, not with 00 00 08 02; it is packed with \
             gzip, add .gz to its name"
        );
        assert_eq!(
            error("a", &idx(&[2], &[1, 2])),
            "a is not the IDX file it should be: it begins with 00 00 08 01, not with 00 00 08 02; this is a file of \
             labels"
        );
        assert_eq!(
            error("a", &[0, 0, 13, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
            "a is not the IDX file it should be: it begins with 00 00 0d 02, not with 00 00 08 02; its numbers are not \
             bytes"
        );
        assert_eq!(error("a.gz", &good), "a.gz is called .gz, but is not a gzip file; if it is unpacked, drop the .gz");
        assert_eq!(error("a.gz", &[]), "a.gz is called .gz, but is not a gzip file; if it is unpacked, drop the .gz");
    }

    #[test]
    fn damaged_gzip_is_told() {
        let packed = gzip(&idx(&[2, 3], &[1, 2, 3, 4, 5, 6]));
        for end in 2..packed.len() {
            let message = error("a.gz", &packed[..end]);
            assert_eq!(message, "a.gz is cut off: its gzip stream has no end; get the file again", "at {end}");
        }
        let mut flipped = packed.clone();
        let checksum = flipped.len() - 8;
        flipped[checksum] ^= 1;
        let message = error("a.gz", &flipped);
        assert!(message.starts_with("a.gz is damaged: ") && message.ends_with("; get the file again"), "{message}");
    }

    #[test]
    fn a_header_that_announces_too_much_asks_for_no_memory() {
        let message = error("a", &idx(&[u32::MAX, u32::MAX], &[1]));
        assert!(message.starts_with("a is cut off: its header announces 4294967295 items of 4294967295"), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "a", &idx(&[u32::MAX; 3], &[1]));
        assert!(matches!(read(&path, 3).unwrap_err().problem, Problem::TooLarge(_)));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(&folder.path().join("nothing"), 2).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains("nothing: "), "{error}");
    }
}
