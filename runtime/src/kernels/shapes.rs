//! Which register tiles an instruction set has.

/// Whether a tile is one of `shapes`.
///
/// A function that is made for every tile and every instruction set asks this in a `const` block: what a set has not is not compiled
/// for it, which is more than half of all.
pub(crate) const fn contains(shapes: &[(usize, usize)], tile: (usize, usize)) -> bool {
    let mut i = 0;
    while i < shapes.len() {
        if shapes[i].0 == tile.0 && shapes[i].1 == tile.1 {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_numbers_count() {
        assert!(contains(&[(1, 2), (3, 4)], (3, 4)));
        assert!(!contains(&[(1, 2), (3, 4)], (1, 4)));
        assert!(!contains(&[], (1, 1)));
    }
}
