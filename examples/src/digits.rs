//! The digits of MNIST, or whatever comes in files of the same names and format: Fashion-MNIST, KMNIST.

use std::path::{Path, PathBuf};

use castnet::ndarray::ArrayView4;

use crate::error::{FileError, Problem};
use crate::idx;

/// Height and width of an image.
pub const SIDE: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = SIDE * SIDE;
/// Classes of the labels.
pub const CLASSES: usize = 10;

/// Mean and standard deviation of the pixels of MNIST's 60,000 training images, with black 0 and white 1. PyTorch's
/// example takes the same numbers, and what a network was trained with it must be run with.
const MEAN: f32 = 0.1307;
const DEVIATION: f32 = 0.3081;

/// A pixel as a network sees it.
pub fn normalise(pixel: u8) -> f32 {
    (f32::from(pixel) / 255.0 - MEAN) / DEVIATION
}

/// Images of 28 x 28 bytes, 0 for the background, each with its class.
#[derive(Clone, Debug)]
pub struct Digits {
    images: Vec<u8>, // [len, 28, 28]
    labels: Vec<u8>, // [len]
}

impl Digits {
    /// The number of images: at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a set without images cannot be made")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// An image, row by row.
    pub fn image(&self, index: usize) -> &[u8; PIXELS] {
        &self.images.as_chunks().0[index]
    }

    /// The class of an image.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// Reads a file of images and the file of their labels.
    ///
    /// # Errors
    ///
    /// Files that are no such files, images of another size than 28 x 28, another number of labels than of images, none
    /// at all, and labels that are no classes.
    pub fn read(images: &Path, labels: &Path) -> Result<Self, FileError> {
        let pictures = idx::read(images, 3)?;
        let found = [pictures.shape[1], pictures.shape[2]];
        if pictures.shape[0] == 0 {
            return Err(FileError::new(images, Problem::Empty));
        }
        if found != [SIDE; 2] {
            return Err(FileError::new(images, Problem::Size { found, expected: [SIDE; 2] }));
        }
        let classes = idx::read(labels, 1)?.bytes;
        if classes.len() != pictures.shape[0] {
            let problem =
                Problem::Count { labels: classes.len(), images: pictures.shape[0], path: images.to_path_buf() };
            return Err(FileError::new(labels, problem));
        }
        match classes.iter().position(|&class| usize::from(class) >= CLASSES) {
            Some(position) => {
                let problem = Problem::Label { label: classes[position], position, classes: CLASSES };
                Err(FileError::new(labels, problem))
            }
            None => Ok(Self { images: pictures.bytes, labels: classes }),
        }
    }
}

/// A data set: what to learn from, and what to be judged by.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// Images to learn from.
    pub train: Digits,
    /// Images that training never sees.
    pub test: Digits,
}

impl DataSet {
    /// Reads the four files of a data set from a folder: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the
    /// same with `t10k` for testing, plain or with `.gz`.
    ///
    /// # Errors
    ///
    /// Files that are missing, all together, and those of [`Digits::read`].
    pub fn read(folder: &Path) -> Result<Self, FileError> {
        const NAMES: [&str; 4] =
            ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
        let find = |name: &str| -> Option<PathBuf> {
            let candidates = [folder.join(name), folder.join(format!("{name}.gz"))];
            candidates.into_iter().find(|path| path.exists())
        };
        match NAMES.map(find) {
            [Some(images), Some(labels), Some(test_images), Some(test_labels)] => {
                Ok(Self { train: Digits::read(&images, &labels)?, test: Digits::read(&test_images, &test_labels)? })
            }
            found => {
                let missing = NAMES.into_iter().zip(found).filter(|(_, path)| path.is_none()).map(|(name, _)| name);
                Err(FileError::new(folder, Problem::Missing(missing.collect())))
            }
        }
    }
}

/// Room for one batch of images and labels, filled again and again.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    images: Vec<f32>, // [len, 1, 28, 28]
    labels: Vec<u8>,  // [len]
}

impl Batch {
    /// Takes the images and labels with these numbers.
    pub fn fill(&mut self, digits: &Digits, indices: &[usize]) {
        self.fill_shifted(digits, indices, || [0, 0]);
    }

    /// Takes the images and labels with these numbers, and moves each image by what `shift` says: pixels down and to the
    /// right. What comes in at the edges is background.
    pub fn fill_shifted(&mut self, digits: &Digits, indices: &[usize], mut shift: impl FnMut() -> [i32; 2]) {
        self.images.clear();
        self.labels.clear();
        for &index in indices {
            let (image, [down, right]) = (digits.image(index), shift());
            let from = |to: usize, by: i32| to.checked_add_signed(-by as isize).filter(|&from| from < SIDE);
            for y in 0..SIDE {
                let row = from(y, down).map(|y| &image[y * SIDE..][..SIDE]);
                let pixel = |x: usize| row.and_then(|row| from(x, right).map(|x| row[x])).unwrap_or(0);
                self.images.extend((0..SIDE).map(|x| normalise(pixel(x))));
            }
            self.labels.push(digits.label(index));
        }
    }

    /// The images, `[batch, 1, 28, 28]`, normalised.
    pub fn images(&self) -> ArrayView4<'_, f32> {
        let shape = (self.labels.len(), 1, SIDE, SIDE);
        ArrayView4::from_shape(shape, &self.images).expect("one image for each label")
    }

    /// The labels, `[batch]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

/// Probabilities of the classes from a network's scores: `exp(x) / sum of exp(x)`.
pub fn softmax<'a>(scores: impl IntoIterator<Item = &'a f32, IntoIter: Clone>) -> Vec<f32> {
    let scores = scores.into_iter();
    let max = scores.clone().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut shares: Vec<f32> = scores.map(|score| (score - max).exp()).collect();
    let sum: f32 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

/// The class of the highest probability, and that probability.
pub fn most_likely(probabilities: &[f32]) -> (u8, f32) {
    let ranked = (0u8..).zip(probabilities.iter().copied());
    ranked.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f32::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::in_crate;
    use crate::idx::tests::{gzip, idx};
    use std::fs;

    /// A folder with a data set of two training images and one test image, after a change to the files.
    fn folder(change: impl FnOnce(&Path)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write("train-images-idx3-ubyte", idx(&[2, 28, 28], &[3; 2 * PIXELS]));
        write("train-labels-idx1-ubyte", idx(&[2], &[9, 0]));
        write("t10k-images-idx3-ubyte.gz", gzip(&idx(&[1, 28, 28], &[255; PIXELS])));
        write("t10k-labels-idx1-ubyte.gz", gzip(&idx(&[1], &[4])));
        change(folder.path());
        folder
    }

    fn error(change: impl FnOnce(&Path)) -> String {
        let folder = folder(change);
        let error = DataSet::read(folder.path()).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn plain_and_packed_files_may_be_mixed() {
        let data = DataSet::read(folder(|_| ()).path()).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (2, 1));
        assert_eq!((data.train.label(0), data.train.label(1), data.test.label(0)), (9, 0, 4));
        assert_eq!((data.train.image(1)[0], data.test.image(0)[PIXELS - 1]), (3, 255));
    }

    #[test]
    fn the_shipped_digits_are_whole() {
        let DataSet { train, test } = DataSet::read(&in_crate("data/mnist")).unwrap();
        assert_eq!((train.len(), test.len()), (4000, 1000));
        for (digits, each) in [(train, 400), (test, 100)] {
            let count = |class| (0..digits.len()).filter(|&index| digits.label(index) == class).count();
            assert!((0..10).all(|class| count(class) == each));
            // The mean of these digits is near the mean of all.
            let pixels: u64 = (0..digits.len()).flat_map(|index| digits.image(index)).map(|&p| u64::from(p)).sum();
            let mean = pixels as f32 / 255.0 / (digits.len() * PIXELS) as f32;
            assert!((mean - MEAN).abs() < 0.005, "{mean}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_data_set_is_told() {
        let remove = |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
        let put =
            |name: &'static str, bytes: Vec<u8>| move |folder: &Path| fs::write(folder.join(name), bytes).unwrap();
        assert_eq!(
            error(remove("t10k-labels-idx1-ubyte.gz")),
            "DIR lacks 1 of the four files of a data set:\n  t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"
        );
        assert_eq!(
            error(put("train-labels-idx1-ubyte", idx(&[3], &[1, 2, 3]))),
            "DIR/train-labels-idx1-ubyte holds 3 labels, but DIR/train-images-idx3-ubyte holds 2 images"
        );
        assert_eq!(
            error(put("train-labels-idx1-ubyte", idx(&[2], &[1, 10]))),
            "DIR/train-labels-idx1-ubyte: label 1 (counted from 0) is 10, but there are 10 classes, 0 to 9"
        );
        assert_eq!(
            error(put("train-images-idx3-ubyte", idx(&[2, 32, 30], &[0; 2 * 32 * 30]))),
            "DIR/train-images-idx3-ubyte holds images of 32 x 30 pixels, but the network takes 28 x 28"
        );
        assert_eq!(
            error(put("train-images-idx3-ubyte", idx(&[0, 28, 28], &[]))),
            "DIR/train-images-idx3-ubyte holds nothing"
        );
        assert_eq!(
            error(put("train-images-idx3-ubyte", idx(&[2], &[1, 2]))),
            "DIR/train-images-idx3-ubyte is not the IDX file it should be: it begins with 00 00 08 01, not with \
             00 00 08 03; this is a file of labels"
        );
        let nothing = DataSet::read(Path::new("no/such/folder")).unwrap_err();
        assert!(nothing.to_string().starts_with("no/such/folder lacks 4 of the four files"), "{nothing}");
    }

    #[test]
    fn a_batch_is_filled_again() {
        let data = DataSet::read(folder(|_| ()).path()).unwrap();
        let mut batch = Batch::default();
        batch.fill(&data.train, &[1, 0]);
        assert_eq!((batch.images().shape(), batch.labels()), (&[2, 1, 28, 28][..], &[0, 9][..]));
        batch.fill(&data.test, &[0]);
        assert_eq!((batch.images().shape(), batch.labels()), (&[1, 1, 28, 28][..], &[4][..]));
        assert!((batch.images()[[0, 0, 27, 27]] - 2.8215).abs() < 1e-4);
    }

    #[test]
    fn images_are_shifted_and_background_comes_in() {
        let data = DataSet::read(&in_crate("data/mnist")).unwrap();
        let (mut plain, mut moved) = (Batch::default(), Batch::default());
        plain.fill(&data.test, &[5]);
        moved.fill_shifted(&data.test, &[5], || [2, -3]);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let expected = if y >= 2 && x + 3 < SIDE { plain.images()[[0, 0, y - 2, x + 3]] } else { normalise(0) };
                assert_eq!(moved.images()[[0, 0, y, x]], expected, "at {y}, {x}");
            }
        }
        moved.fill_shifted(&data.test, &[5], || [28, i32::MIN + 1]);
        assert!(moved.images().iter().all(|&pixel| pixel == normalise(0)));
    }

    #[test]
    fn probabilities_add_up() {
        let probabilities = softmax(&[1000.0, 1000.0 + 3.0f32.ln(), f32::NEG_INFINITY]);
        assert!((probabilities[0] - 0.25).abs() < 1e-4 && probabilities[2] == 0.0);
        let (class, share) = most_likely(&probabilities);
        assert!(class == 1 && (share - 0.75).abs() < 1e-4);
    }
}
