//! Rows of planar values between zeros, for loops that know no edges.

/// Copies `rows` rows of every plane of `[channels, h, w]`, the first at `first` of the padded input, `columns` wide, with zeros around;
/// `padding` is that above and to the left.
pub(super) fn copy_rows(
    [channels, h, w]: [usize; 3],
    padding: [usize; 2],
    input: &[f32],
    first: usize,
    [rows, columns]: [usize; 2],
    copy: &mut [f32],
) {
    let left = padding[1].min(columns);
    let middle = w.min(columns - left);
    for channel in 0..channels {
        for row in 0..rows {
            let to = &mut copy[(channel * rows + row) * columns..][..columns];
            let from = (first + row).wrapping_sub(padding[0]);
            if from < h {
                let from = &input[(channel * h + from) * w..][..middle];
                to[..left].fill(0.0);
                to[left..left + middle].copy_from_slice(from);
                to[left + middle..].fill(0.0);
            } else {
                to.fill(0.0);
            }
        }
    }
}
