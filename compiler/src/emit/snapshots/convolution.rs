//! Convolutions between blocked values.

use super::items;

/// A 1x1 convolution, whose output the convolution under test reads.
const FROM: &str = "name = 'from'; type = 'conv2d'; out_channels = 32; kernel_size = 1";

#[test]
fn pointwise() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 24; kernel_size = 1; bias = false";
    insta::assert_snapshot!(items("input = [32, 6, 5]", &[conv], &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 6, 5),
        output: castnet::blocked::Blocked::new(24, 6, 5),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::direct::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight] = tensors.get([castnet::parameter(0..768)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: None,
            norm: None,
        };
        castnet::blocked::direct::pack(&CONV_FROZEN, &weights, &mut packed[CONV_PACKED]);
        Ok(())
    }
    /// `conv` (conv2d), net.toml:4, frozen: direct convolution, by the model 0.4 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
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
fn one_dimensional() {
    let conv = "name = 'conv'; type = 'conv1d'; out_channels = 16; kernel_size = 3; dilation = 2";
    insta::assert_snapshot!(items("input = [16, 20]", &[conv], &["conv_frozen"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(16, 1, 20),
        output: castnet::blocked::Blocked::new(16, 1, 16),
        kernel: [1, 3],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 2],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `conv` (conv1d), net.toml:4, frozen: direct convolution, by the model 0.2 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
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

/// The reader's border is written by the one that makes the value.
#[test]
fn with_a_halo() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 16; kernel_size = [3, 5]; stride = 2; padding = [1, 2]";
    let header = "input = [16, 8, 8]; winograd = false";
    insta::assert_snapshot!(items(header, &[FROM, conv], &["from_frozen", "conv_frozen"]), @"
    static FROM_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(16, 8, 8),
        output: castnet::blocked::Blocked::new(32, 8, 8).with_halo([1, 2, 0, 1]),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `from` (conv2d), net.toml:5, frozen: direct convolution, by the model 0.4 µs on one core.
    fn from_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        FROM_FROZEN.output.zero_halo(output);
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
        input: castnet::blocked::Blocked::new(32, 8, 8).with_halo([1, 2, 0, 1]),
        output: castnet::blocked::Blocked::new(16, 4, 4),
        kernel: [3, 5],
        stride: [2, 2],
        padding: [1, 2],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `conv` (conv2d), net.toml:11, frozen: direct convolution, by the model 2.0 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
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

/// The third value lies where the first lay.
#[test]
fn with_a_halo_from_before() {
    let conv =
        |name: &str| format!("name = '{name}'; type = 'conv2d'; out_channels = 32; kernel_size = 3; padding = 1");
    let convs = ["a", "b", "c", "d"].map(conv);
    let layers = convs.each_ref().map(String::as_str);
    let header = "input = [32, 8, 8]; winograd = false";
    insta::assert_snapshot!(items(header, &layers, &["a_frozen", "c_frozen"]), @"
    static A_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 8, 8).with_halo([1, 1, 1, 1]),
        output: castnet::blocked::Blocked::new(32, 8, 8).with_halo([1, 1, 1, 1]),
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `a` (conv2d), net.toml:5, frozen: direct convolution, by the model 7.3 µs on one core; Winograd F(2x2) 6.8, Winograd F(4x4) 11.3.
    fn a_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        A_FROZEN.output.zero_halo(output);
        castnet::blocked::direct::run(
            context,
            &A_FROZEN,
            input,
            &packed[A_PACKED],
            None,
            output,
        );
    }
    static C_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 8, 8).with_halo([1, 1, 1, 1]),
        output: castnet::blocked::Blocked::new(32, 8, 8).with_halo([1, 1, 1, 1]),
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `c` (conv2d), net.toml:19, frozen: direct convolution, by the model 7.3 µs on one core; Winograd F(2x2) 6.8, Winograd F(4x4) 11.3. The halo is that of `a`, zero still.
    fn c_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
            context,
            &C_FROZEN,
            input,
            &packed[C_PACKED],
            None,
            output,
        );
    }
    ");
}

#[test]
fn with_a_norm_and_an_activation() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 1; bias = false";
    let layers = [conv, "name = 'bn'; type = 'batch_norm2d'", "type = 'leaky_relu'"];
    insta::assert_snapshot!(items("input = [32, 6, 6]", &layers, &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: Some(castnet::Activation::LeakyRelu {
            negative_slope: 0.01,
        }),
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::direct::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`, with `bn` folded in.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, norm_weight, norm_bias, mean, variance] = tensors
            .get([
                castnet::parameter(0..1024),
                castnet::parameter(1024..1056),
                castnet::parameter(1056..1088),
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
            bias: None,
            norm: Some(norm),
        };
        castnet::blocked::direct::pack(&CONV_FROZEN, &weights, &mut packed[CONV_PACKED]);
        Ok(())
    }
    /// `conv` (conv2d) + `bn` + `leaky_relu1`, net.toml:4, frozen: direct convolution, by the model 0.5 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
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
fn with_a_norm_that_has_no_weights() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 1";
    let layers = [conv, "name = 'bn'; type = 'batch_norm2d'; affine = false; eps = 1e-3"];
    insta::assert_snapshot!(items("input = [32, 6, 6]", &layers, &["conv"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::direct::packed_len(&CONV_FROZEN),
    );
    /// Packs the weights of `conv`, with `bn` folded in.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias, mean, variance] = tensors
            .get([
                castnet::parameter(0..1024),
                castnet::parameter(1024..1056),
                castnet::buffer(0..32),
                castnet::buffer(32..64),
            ])?;
        let norm = castnet::blocked::BatchNorm {
            weight: None,
            bias: None,
            mean,
            variance,
            eps: 0.001,
        };
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: Some(norm),
        };
        castnet::blocked::direct::pack(&CONV_FROZEN, &weights, &mut packed[CONV_PACKED]);
        Ok(())
    }
    /// `conv` (conv2d) + `bn`, net.toml:4, frozen: direct convolution, by the model 0.5 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
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
fn with_a_residual() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 1";
    let layers = [FROM, conv, "name = 'sum'; type = 'add'; inputs = ['conv', 'from']", "type = 'relu'"];
    insta::assert_snapshot!(items("input = [32, 6, 6]", &layers, &["conv_frozen", "head_pass"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: Some(castnet::blocked::Blocked::new(32, 6, 6)),
        activation: Some(castnet::Activation::Relu),
    };
    /// `conv` (conv2d) + `sum` + `relu1`, net.toml:10, frozen: direct convolution, by the model 0.5 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        residual: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
            context,
            &CONV_FROZEN,
            input,
            &packed[CONV_PACKED],
            Some(residual),
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
        let [input_blocked] = arena.get([head::INPUT_BLOCKED]);
        input_to_blocked(context, inputs[0], input_blocked);
        let [input_blocked, from_out] = arena.get([head::INPUT_BLOCKED, head::FROM_OUT]);
        from_frozen(context, packed, input_blocked, from_out);
        let [from_out, relu1_out] = arena.get([head::FROM_OUT, head::RELU1_OUT]);
        conv_frozen(context, packed, from_out, from_out, relu1_out);
        let [relu1_out, relu1_out_plain] = arena
            .get([head::RELU1_OUT, head::RELU1_OUT_PLAIN]);
        relu1_out_to_plain(context, relu1_out, relu1_out_plain);
    }
    ");
}

#[test]
fn grouped() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 1; groups = 2";
    insta::assert_snapshot!(items("input = [64, 6, 6]", &[conv], &["conv_frozen"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(64, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 2,
        residual: None,
        activation: None,
    };
    /// `conv` (conv2d), net.toml:4, frozen: direct convolution, by the model 0.5 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
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
fn depthwise() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 3; padding = 1; groups = 32";
    insta::assert_snapshot!(items("input = [32, 6, 6]", &[conv, "type = 'relu6'"], &["conv_frozen"]), @"
    static CONV_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 6, 6).with_halo([1, 1, 1, 1]),
        output: castnet::blocked::Blocked::new(32, 6, 6),
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 32,
        residual: None,
        activation: Some(castnet::Activation::Relu6),
    };
    /// `conv` (conv2d) + `relu61`, net.toml:4, frozen: depthwise convolution, by the model 0.1 µs on one core.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::depthwise::run(
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
