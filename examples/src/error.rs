//! What can be wrong with files that people give to the examples.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use image::{ImageError, ImageFormat};

/// A file that cannot be used, and why.
#[derive(Debug)]
pub struct FileError {
    /// The file, or the folder where files are missing.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// It cannot be read.
    Read(io::Error),
    /// It cannot be written.
    Write(io::Error),
    /// The folder lacks these files of a data set, each of which may end in `.gz`.
    Missing(Vec<&'static str>),
    /// It is called `.gz` and does not begin as gzip does.
    NotGzip,
    /// Its gzip stream is damaged, or ends before its end.
    Gzip(io::Error),
    /// It does not begin with the number that IDX files of this kind begin with.
    Magic {
        /// The first four bytes.
        found: [u8; 4],
        /// What they should be.
        expected: [u8; 4],
    },
    /// It ends before the end of its header.
    Header {
        /// Bytes of the header.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Its header announces more than memory can address.
    TooLarge(Vec<usize>),
    /// It does not hold as many bytes as its header announces.
    Length {
        /// The shape in the header: the number of items, then the shape of each.
        shape: Vec<usize>,
        /// Bytes that shape takes, one each.
        expected: usize,
        /// Bytes that are there; `None` where there are more.
        found: Option<usize>,
    },
    /// It holds nothing.
    Empty,
    /// Its images have another size.
    Size {
        /// Height and width.
        found: [usize; 2],
        /// What the network takes.
        expected: [usize; 2],
    },
    /// It holds labels for another number of images.
    Count {
        /// Labels in this file.
        labels: usize,
        /// Images in the other.
        images: usize,
        /// The file with the images.
        path: PathBuf,
    },
    /// A label is no class.
    Label {
        /// The label.
        label: u8,
        /// Which one, counted from 0.
        position: usize,
        /// The number of classes.
        classes: usize,
    },
    /// It is no picture of a kind that is read.
    NotPicture,
    /// It is a picture of this kind, but cannot be decoded.
    Picture(ImageFormat, ImageError),
    /// The image has one colour all over.
    Blank,
}

impl FileError {
    /// The problem of this file.
    pub fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_path_buf(), problem }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Read(error) => write!(f, "cannot read {path}: {error}"),
            Problem::Write(error) => write!(f, "cannot write {path}: {error}"),
            Problem::Missing(names) => {
                write!(f, "{path} lacks {} of the four files of a data set:", names.len())?;
                names.iter().try_for_each(|name| write!(f, "\n  {name} or {name}.gz"))
            }
            Problem::NotGzip => {
                write!(f, "{path} is called .gz, but is not a gzip file; if it is unpacked, drop the .gz")
            }
            Problem::Gzip(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "{path} is cut off: its gzip stream has no end; get the file again")
            }
            Problem::Gzip(error) => write!(f, "{path} is damaged: {error}; get the file again"),
            Problem::Magic { found, expected } => {
                write!(f, "{path} is not the IDX file it should be: it begins with {}", Hex(found))?;
                write!(f, ", not with {}", Hex(expected))?;
                match found {
                    [0x1f, 0x8b, ..] => write!(f, "; it is packed with gzip, add .gz to its name"),
                    [0, 0, 8, 1] => write!(f, "; this is a file of labels"),
                    [0, 0, 8, 3] => write!(f, "; this is a file of images"),
                    [0, 0, kind, _] if *kind != 8 => write!(f, "; its numbers are not bytes"),
                    _ => Ok(()),
                }
            }
            Problem::Header { expected, found } => {
                write!(f, "{path} is cut off: it has {found} bytes, and the header alone takes {expected}")
            }
            Problem::TooLarge(shape) => write!(f, "{path} announces {shape:?} bytes, more than memory can address"),
            Problem::Length { shape, expected, found: Some(found) } => {
                write!(f, "{path} is cut off: its header announces {}, ", Shape(shape))?;
                write!(f, "which take {expected} bytes, but {found} are there")
            }
            Problem::Length { shape, expected, found: None } => {
                write!(f, "{path} goes on after its end: its header announces {}, ", Shape(shape))?;
                write!(f, "which take {expected} bytes, and more are there")
            }
            Problem::Empty => write!(f, "{path} holds nothing"),
            Problem::Size { found: [height, width], expected: [h, w] } => {
                write!(f, "{path} holds images of {height} x {width} pixels, but the network takes {h} x {w}")
            }
            Problem::Count { labels, images, path: other } => {
                write!(f, "{path} holds {labels} labels, but {} holds {images} images", other.display())
            }
            Problem::Label { label, position, classes } => {
                write!(f, "{path}: label {position} (counted from 0) is {label}, but there are {classes} classes, ")?;
                write!(f, "0 to {}", classes - 1)
            }
            Problem::NotPicture => write!(f, "{path} is neither a PNG nor a JPEG"),
            Problem::Picture(format, error) => {
                write!(f, "{path} is a {} that cannot be decoded: {error}", format!("{format:?}").to_uppercase())
            }
            Problem::Blank => write!(f, "{path} has one colour all over: there is no digit in it"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Read(error) | Problem::Write(error) | Problem::Gzip(error) => Some(error),
            Problem::Picture(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Bytes as `00 00 08 03`.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, byte)| {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{byte:02x}")
        })
    }
}

/// `1000 items` or `1000 items of 28 x 28`.
struct Shape<'a>(&'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((items, each)) = self.0.split_first() else { return f.write_str("nothing") };
        write!(f, "{items} items")?;
        each.iter().enumerate().try_for_each(|(axis, length)| {
            let word = if axis == 0 { " of " } else { " x " };
            write!(f, "{word}{length}")
        })
    }
}
