//! Convolutions from values of few channels, which lie as PyTorch has them.

use super::items;

#[test]
fn planar_input() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 3; stride = 2; padding = 1";
    let after = "name = 'after'; type = 'conv2d'; out_channels = 32; kernel_size = 3; padding = 1";
    let layers = [conv, "type = 'batch_norm2d'", "type = 'relu'", after];
    insta::assert_snapshot!(items("input = [3, 12, 12]; winograd = false", &layers, &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::PlanarInputConv2d = castnet::blocked::PlanarInputConv2d {
        input: [3, 12, 12],
        output: castnet::blocked::Blocked::new(32, 6, 6).with_halo([1, 1, 1, 1]),
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        dilation: [1, 1],
        activation: Some(castnet::Activation::Relu),
        pool: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::planar_input::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`, with `batch_norm2d1` folded in.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias, norm_weight, norm_bias, mean, variance] = tensors
            .get([
                castnet::parameter(0..864),
                castnet::parameter(864..896),
                castnet::parameter(896..928),
                castnet::parameter(928..960),
                castnet::buffer(0..32),
                castnet::buffer(32..64),
            ])?;
        let norm = castnet::blocked::BatchNorm {
            weight: Some(norm_weight),
            bias: Some(norm_bias),
            mean,
            variance,
            eps: 0.00001,
        };
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: Some(norm),
        };
        castnet::blocked::planar_input::pack(
            &CONV_FROZEN,
            &weights,
            &mut packed[CONV_PACKED],
        );
        Ok(())
    }
    /// `conv` (conv2d) + `batch_norm2d1` + `relu1`, net.toml:5, frozen: direct convolution from a planar value, by the model 0.4 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        CONV_FROZEN.output.zero_halo(output);
        castnet::blocked::planar_input::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn with_a_pool() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 20; kernel_size = 3; padding = 1";
    let layers = [conv, "type = 'relu'", "name = 'pool'; type = 'max_pool2d'; kernel_size = 2"];
    insta::assert_snapshot!(items("input = [3, 12, 12]", &layers, &["conv_frozen"]), @"
    static CONV_FROZEN: castnet::blocked::PlanarInputConv2d = castnet::blocked::PlanarInputConv2d {
        input: [3, 12, 12],
        output: castnet::blocked::Blocked::new(20, 6, 6),
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        activation: Some(castnet::Activation::Relu),
        pool: Some(castnet::blocked::Pool2x2::Max),
    };
    /// `conv` (conv2d) + `relu1` + `pool`, net.toml:4, frozen: direct convolution from a planar value, by the model 1.6 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::planar_input::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn winograd_of_5x5() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 5; padding = 2";
    insta::assert_snapshot!(items("input = [6, 12, 12]; winograd = 'f2'", &[conv], &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::PlanarInputConv2d = castnet::blocked::PlanarInputConv2d {
        input: [6, 12, 12],
        output: castnet::blocked::Blocked::new(32, 12, 12),
        kernel: [5, 5],
        stride: [1, 1],
        padding: [2, 2],
        dilation: [1, 1],
        activation: None,
        pool: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::winograd::planar_input::f2_5x5::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(0..4800), castnet::parameter(4800..4832)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::winograd::planar_input::f2_5x5::pack(
            &CONV_FROZEN,
            &weights,
            &mut packed[CONV_PACKED],
        );
        Ok(())
    }
    /// `conv` (conv2d), net.toml:5, frozen: Winograd F(2x2, 5x5) convolution from a planar value, by the model 5.8 µs on one core; direct 9.0.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::winograd::planar_input::f2_5x5::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn winograd_of_7x7() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 7; stride = 2; padding = 3";
    insta::assert_snapshot!(items("input = [3, 16, 16]; winograd = 'f4'", &[conv], &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::PlanarInputConv2d = castnet::blocked::PlanarInputConv2d {
        input: [3, 16, 16],
        output: castnet::blocked::Blocked::new(32, 8, 8),
        kernel: [7, 7],
        stride: [2, 2],
        padding: [3, 3],
        dilation: [1, 1],
        activation: None,
        pool: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::winograd::planar_input::f4_7x7::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(0..4704), castnet::parameter(4704..4736)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::winograd::planar_input::f4_7x7::pack(
            &CONV_FROZEN,
            &weights,
            &mut packed[CONV_PACKED],
        );
        Ok(())
    }
    /// `conv` (conv2d), net.toml:5, frozen: Winograd F(4x4, 7x7/2) convolution from a planar value, by the model 2.6 µs on one core; direct 3.9.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::winograd::planar_input::f4_7x7::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn planar() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 4; kernel_size = 3; padding = 1";
    insta::assert_snapshot!(items("input = [1, 12, 12]", &[conv, "type = 'tanh'"], &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::PlanarConv2d = castnet::blocked::PlanarConv2d {
        input: [1, 12, 12],
        output: [4, 12, 12],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        activation: Some(castnet::Activation::Tanh),
        pool: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::planar::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(0..36), castnet::parameter(36..40)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::planar::pack(&CONV_FROZEN, &weights, &mut packed[CONV_PACKED]);
        Ok(())
    }
    /// `conv` (conv2d) + `tanh1`, net.toml:4, frozen: direct convolution between planar values of few channels.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::planar::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn planar_with_a_pool() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 6; kernel_size = 5";
    let layers = [conv, "name = 'pool'; type = 'avg_pool2d'; kernel_size = 2"];
    insta::assert_snapshot!(items("input = [1, 12, 12]", &layers, &["conv_frozen", "head_pass"]), @"
    static CONV_FROZEN: castnet::blocked::PlanarConv2d = castnet::blocked::PlanarConv2d {
        input: [1, 12, 12],
        output: [6, 4, 4],
        kernel: [5, 5],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        activation: None,
        pool: Some(castnet::blocked::Pool2x2::Mean),
    };
    /// `conv` (conv2d) + `pool`, net.toml:4, frozen: direct convolution between planar values of few channels.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::planar::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            output,
        );
    }
    /// The layers that samples go through one by one.
    fn head_pass(
        context: &mut castnet::Context,
        packed: &[f32],
        inputs: &[&[f32]],
        arena: &mut castnet::Arena,
    ) {
        let [pool_out] = arena.get([head::POOL_OUT]);
        conv_frozen(context, packed, inputs[0], pool_out);
    }
    ");
}
