//! Convolutions between blocked values by Winograd's algorithms. They see zeros beyond the map by themselves: no halo.

use super::items;

/// A 1x1 convolution, whose output the convolution under test reads.
const FROM: &str = "name = 'from'; type = 'conv2d'; out_channels = 32; kernel_size = 1";

#[test]
fn f2() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 3; padding = 1";
    insta::assert_snapshot!(items("input = [32, 8, 8]; winograd = 'f2'", &[FROM, conv], &["from_frozen", "conv"]), @"
    static FROM_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 8, 8),
        output: castnet::blocked::Blocked::new(32, 8, 8),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `from` (conv2d), net.toml:5, frozen: direct convolution, by the model 0.8 µs on one core.
    fn from_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
            context,
            &FROM_FROZEN,
            input,
            &packed[FROM_PACKED],
            None,
            output,
        );
    }
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 8, 8),
        output: castnet::blocked::Blocked::new(32, 8, 8),
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        FROM_PACKED.end,
        castnet::blocked::winograd::f2::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(1056..10272), castnet::parameter(10272..10304)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::winograd::f2::pack(
            &CONV_FROZEN,
            &weights,
            &mut packed[CONV_PACKED],
        );
        Ok(())
    }
    /// `conv` (conv2d), net.toml:11, frozen: Winograd F(2x2) convolution, by the model 6.8 µs on one core; direct 7.3, Winograd F(4x4) 11.3.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::winograd::f2::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            None,
            output,
        );
    }
    ");
}

#[test]
fn f4() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 3; padding = 1";
    insta::assert_snapshot!(items("input = [32, 8, 8]; winograd = 'f4'", &[conv], &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 8, 8),
        output: castnet::blocked::Blocked::new(32, 8, 8),
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::winograd::f4::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(0..9216), castnet::parameter(9216..9248)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::winograd::f4::pack(
            &CONV_FROZEN,
            &weights,
            &mut packed[CONV_PACKED],
        );
        Ok(())
    }
    /// `conv` (conv2d), net.toml:5, frozen: Winograd F(4x4) convolution, by the model 11.3 µs on one core; direct 7.3, Winograd F(2x2) 6.8.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::winograd::f4::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            None,
            output,
        );
    }
    ");
}

#[test]
fn f2_of_5x5() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 5; padding = 2";
    insta::assert_snapshot!(items("input = [32, 8, 8]; winograd = 'f2'", &[conv], &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 8, 8),
        output: castnet::blocked::Blocked::new(32, 8, 8),
        kernel: [5, 5],
        stride: [1, 1],
        padding: [2, 2],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::winograd::f2_5x5::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(0..25600), castnet::parameter(25600..25632)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::winograd::f2_5x5::pack(
            &CONV_FROZEN,
            &weights,
            &mut packed[CONV_PACKED],
        );
        Ok(())
    }
    /// `conv` (conv2d), net.toml:5, frozen: Winograd F(2x2, 5x5) convolution, by the model 14.8 µs on one core; direct 20.3.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::winograd::f2_5x5::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            None,
            output,
        );
    }
    ");
}
