//! Calls that make values as PyTorch has them, and conversions from one layout to the other.

use super::items;

const CONV: &str = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 1";

#[test]
fn linear() {
    let layers = ["name = 'fc'; type = 'linear'; out_features = 10; bias = false", "type = 'sigmoid'"];
    insta::assert_snapshot!(items("input = [20]", &layers, &["fc"]), @"
    static FC_FROZEN: castnet::blocked::PackedLinear = castnet::blocked::PackedLinear {
        in_features: 20,
        out_features: 10,
        map: None,
        activation: Some(castnet::Activation::Sigmoid),
    };
    const FC_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::linear::packed_len(&FC_FROZEN),
    );
    /// Packs the weights of `fc`.
    fn fc_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight] = tensors.get([castnet::parameter(0..200)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: None,
            norm: None,
        };
        castnet::blocked::linear::pack(&FC_FROZEN, &weights, &mut packed[FC_PACKED]);
        Ok(())
    }
    /// `fc` (linear) + `sigmoid1`, net.toml:4, frozen: a product with packed weights.
    fn fc_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::linear::run(
            context,
            &FC_FROZEN,
            input,
            &packed[FC_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn linear_with_a_norm() {
    let layers = ["name = 'fc'; type = 'linear'; out_features = 10", "name = 'bn'; type = 'batch_norm1d'"];
    insta::assert_snapshot!(items("input = [20]", &layers, &["fc"]), @"
    static FC_FROZEN: castnet::blocked::PackedLinear = castnet::blocked::PackedLinear {
        in_features: 20,
        out_features: 10,
        map: None,
        activation: None,
    };
    const FC_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::linear::packed_len(&FC_FROZEN),
    );
    /// Packs the weights of `fc`, with `bn` folded in.
    fn fc_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias, norm_weight, norm_bias, mean, variance] = tensors
            .get([
                castnet::parameter(0..200),
                castnet::parameter(200..210),
                castnet::parameter(210..220),
                castnet::parameter(220..230),
                castnet::buffer(0..10),
                castnet::buffer(10..20),
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
        castnet::blocked::linear::pack(&FC_FROZEN, &weights, &mut packed[FC_PACKED]);
        Ok(())
    }
    /// `fc` (linear) + `bn`, net.toml:4, frozen: a product with packed weights.
    fn fc_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::linear::run(
            context,
            &FC_FROZEN,
            input,
            &packed[FC_PACKED],
            output,
        );
    }
    ");
}

/// Its weights are packed in the order of the map.
#[test]
fn linear_on_a_map() {
    let layers = [CONV, "type = 'flatten'", "name = 'fc'; type = 'linear'; out_features = 10"];
    insta::assert_snapshot!(items("input = [32, 4, 3]", &layers, &["fc"]), @"
    static FC_FROZEN: castnet::blocked::PackedLinear = castnet::blocked::PackedLinear {
        in_features: 384,
        out_features: 10,
        map: Some([32, 4, 3]),
        activation: None,
    };
    const FC_PACKED: castnet::Range<usize> = castnet::blocked::part(
        CONV_PACKED.end,
        castnet::blocked::linear::packed_len(&FC_FROZEN),
    );
    /// Packs the weights of `fc`.
    fn fc_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [weight, bias] = tensors
            .get([castnet::parameter(1056..4896), castnet::parameter(4896..4906)])?;
        let weights = castnet::blocked::Weights {
            weight,
            bias: Some(bias),
            norm: None,
        };
        castnet::blocked::linear::pack(&FC_FROZEN, &weights, &mut packed[FC_PACKED]);
        Ok(())
    }
    /// `fc` (linear), net.toml:13, frozen: a product with weights that are packed in the order of the blocked map.
    fn fc_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::linear::run(
            context,
            &FC_FROZEN,
            input,
            &packed[FC_PACKED],
            output,
        );
    }
    ");
}

/// Several rows: the layer's own function.
#[test]
fn linear_of_rows() {
    let layers = ["name = 'fc'; type = 'linear'; out_features = 10"];
    insta::assert_snapshot!(items("input = [4, 20]", &layers, &["fc"]), @"
    static FC: castnet::Linear = castnet::Linear {
        in_features: 20,
        out_features: 10,
        rows: 4,
    };
    const FC_PACKED: castnet::Range<usize> = castnet::blocked::part(0, 210);
    /// Copies the tensors of `fc`.
    fn fc_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        tensors.copy([castnet::parameter(0..210)], &mut packed[FC_PACKED])
    }
    /// `fc` (linear), net.toml:4, frozen: as in evaluation.
    fn fc_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        let parameters = &packed[FC_PACKED];
        castnet::linear::forward(
            context,
            &FC,
            input,
            &parameters[0..200],
            Some(&parameters[200..210]),
            output,
        );
    }
    ");
}

#[test]
fn a_layer_without_weights() {
    let layers = ["name = 'softmax'; type = 'softmax'; dim = 1"];
    insta::assert_snapshot!(items("input = [10]", &layers, &["softmax"]), @"
    static SOFTMAX: castnet::Softmax = castnet::Softmax {
        outer: 1,
        length: 10,
        inner: 1,
    };
    /// `softmax` (softmax), net.toml:4, frozen: as in evaluation.
    fn softmax_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::softmax::forward(context, &SOFTMAX, input, output);
    }
    ");
}

#[test]
fn a_layer_with_parameters() {
    let layers = ["name = 'gn'; type = 'group_norm'; num_groups = 2"];
    insta::assert_snapshot!(items("input = [4, 6, 6]", &layers, &["gn"]), @"
    static GN: castnet::GroupNorm = castnet::GroupNorm {
        groups: 2,
        channels: 4,
        inner: 36,
        eps: 0.00001,
    };
    const GN_PACKED: castnet::Range<usize> = castnet::blocked::part(0, 8);
    /// Copies the tensors of `gn`.
    fn gn_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        tensors.copy([castnet::parameter(0..8)], &mut packed[GN_PACKED])
    }
    /// `gn` (group_norm), net.toml:4, frozen: as in evaluation.
    fn gn_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        let parameters = &packed[GN_PACKED];
        castnet::group_norm::forward(
            context,
            &GN,
            input,
            Some(&parameters[0..4]),
            Some(&parameters[4..8]),
            output,
            None,
        );
    }
    ");
}

#[test]
fn a_layer_with_parameters_and_buffers() {
    let layers = ["name = 'bn'; type = 'batch_norm1d'"];
    insta::assert_snapshot!(items("input = [10]", &layers, &["bn"]), @"
    static BN: castnet::BatchNorm = castnet::BatchNorm {
        channels: 10,
        inner: 1,
        eps: 0.00001,
        momentum: 0.1,
    };
    const BN_PACKED: castnet::Range<usize> = castnet::blocked::part(0, 40);
    /// Copies the tensors of `bn`.
    fn bn_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        tensors
            .copy(
                [castnet::parameter(0..20), castnet::buffer(0..20)],
                &mut packed[BN_PACKED],
            )
    }
    /// `bn` (batch_norm1d), net.toml:4, frozen: as in evaluation.
    fn bn_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        let (parameters, buffers) = packed[BN_PACKED].split_at(20);
        castnet::batch_norm::forward(
            context,
            &BN,
            input,
            Some(&parameters[0..10]),
            Some(&parameters[10..20]),
            &buffers[0..10],
            &buffers[10..20],
            output,
        );
    }
    ");
}

/// A border that is not of zeros.
#[test]
fn a_convolution_by_its_own_function() {
    let conv =
        "name = 'conv'; type = 'conv2d'; out_channels = 16; kernel_size = 3; padding = 1; padding_mode = 'reflect'";
    insta::assert_snapshot!(items("input = [16, 6, 6]", &[conv], &["conv"]), @"
    static CONV: castnet::Conv2d = castnet::Conv2d {
        input: [16, 6, 6],
        output: [16, 6, 6],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
        padding_mode: castnet::PaddingMode::Reflect,
    };
    const CONV_PACKED: castnet::Range<usize> = castnet::blocked::part(0, 2320);
    /// Copies the tensors of `conv`.
    fn conv_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        tensors.copy([castnet::parameter(0..2320)], &mut packed[CONV_PACKED])
    }
    /// `conv` (conv2d), net.toml:4, frozen: as in evaluation.
    fn conv_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        let parameters = &packed[CONV_PACKED];
        castnet::conv2d::forward(
            context,
            &CONV,
            input,
            &parameters[0..2304],
            Some(&parameters[2304..2320]),
            output,
        );
    }
    ");
}

#[test]
fn conversions() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 32; kernel_size = 3; padding = 1";
    let header = "input = [32, 6, 6]; winograd = false";
    insta::assert_snapshot!(items(header, &[conv], &["input", "conv_out"]), @"
    static INPUT_BLOCKED: castnet::blocked::Blocked = castnet::blocked::Blocked::new(
            32,
            6,
            6,
        )
        .with_halo([1, 1, 1, 1]);
    /// From PyTorch's layout to channels in blocks of 16.
    fn input_to_blocked(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        INPUT_BLOCKED.zero_halo(output);
        castnet::blocked::conversion::to_blocked(context, &INPUT_BLOCKED, input, output);
    }
    static CONV_OUT_BLOCKED: castnet::blocked::Blocked = castnet::blocked::Blocked::new(
        32,
        6,
        6,
    );
    /// From channels in blocks of 16 to PyTorch's layout.
    fn conv_out_to_plain(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::conversion::from_blocked(
            context,
            &CONV_OUT_BLOCKED,
            input,
            output,
        );
    }
    ");
}
