//! Numbers of a file as floats.

use safetensors::tensor::Dtype;

/// Types of numbers that become `f32`.
pub(super) const FLOATS: &str = "F32, F64, F16 or BF16";

/// Whether numbers of this type become `f32`.
pub(super) const fn are_floats(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)
}

/// Copies a tensor's numbers, or some of them, converted where they are no `f32`.
pub(crate) fn read_floats(dtype: Dtype, bytes: &[u8], to: &mut [f32]) {
    match dtype {
        Dtype::F64 => convert(bytes, to, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => convert(bytes, to, |bytes| half_to_float(u16::from_le_bytes(bytes))),
        // A bfloat16 is the upper half of a float.
        Dtype::BF16 => convert(bytes, to, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
        _ => convert(bytes, to, f32::from_le_bytes),
    }
}

fn convert<const BYTES: usize>(bytes: &[u8], to: &mut [f32], float: impl Fn([u8; BYTES]) -> f32) {
    let (numbers, rest) = bytes.as_chunks();
    assert!(rest.is_empty() && numbers.len() == to.len(), "the format's reader has checked the lengths");
    to.iter_mut().zip(numbers).for_each(|(to, number)| *to = float(*number));
}

/// IEEE 754 binary16 (1 sign, 5 exponent, 10 fraction bits) to binary32 (1, 8, 23). Exact.
fn half_to_float(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(half >> 10 & 0x1f), u32::from(half & 0x3ff));
    let magnitude = match exponent {
        // Subnormal: fraction * 2^-24, which a float holds as a normal number.
        0 => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
        // Infinity and NaN, whose payload is kept.
        0x1f => 0x7f80_0000 | fraction << 13,
        // The bias goes from 15 to 127.
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn halves_convert_exactly() {
        for (half, float) in [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x03ff, 6.097_555e-5),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half_to_float(half).to_bits(), f32::to_bits(float), "{half:#06x}");
        }
        assert!(half_to_float(0x7e00).is_nan());
    }

    /// Every number of 16 bits, against the crate `half`, which makes every NaN a quiet one.
    #[test]
    fn all_16_bit_numbers_are_those_of_the_crate_half() {
        let quiet = |float: f32| if float.is_nan() { float.to_bits() | 0x0040_0000 } else { float.to_bits() };
        for bits in 0..=u16::MAX {
            let mut floats = [0.0; 2];
            read_floats(Dtype::F16, &bits.to_le_bytes(), &mut floats[..1]);
            read_floats(Dtype::BF16, &bits.to_le_bytes(), &mut floats[1..]);
            let expected = [half::f16::from_bits(bits).to_f32(), half::bf16::from_bits(bits).to_f32()];
            assert_eq!(floats.map(quiet), expected.map(quiet), "{bits:#06x}");
        }
    }
}
