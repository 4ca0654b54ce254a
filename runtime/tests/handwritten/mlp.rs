//! A network as the macro writes it for this spec, small enough to be checked by hand.
//!
//! ```toml
//! [network]
//! input = [12]
//! loss = "cross_entropy"
//!
//! [[layer]]
//! name = "fc1"
//! type = "linear"
//! out_features = 8
//!
//! [[layer]]
//! type = "tanh"
//!
//! [[layer]]
//! name = "fc2"
//! type = "linear"
//! out_features = 5
//! ```

/// What the user wrote: visibility, attributes and doc comment are kept, and a field is added.
#[derive(Clone, Debug)]
pub struct Mlp {
    state: ::castnet::__private::State,
}

const _: () = {
    use ::castnet::__private as castnet;
    use ::core::option::Option::Some;

    static INFO: castnet::NetworkInfo = castnet::NetworkInfo {
        name: "Mlp",
        inputs: &[castnet::ValueInfo {
            name: "input",
            shape: &[12],
            evaluation: castnet::per_sample(0, 12),
            training: castnet::per_sample(0, 12),
            gradient: castnet::per_sample(64, 76),
            frozen: castnet::per_sample(64, 76),
        }],
        outputs: &[castnet::ValueInfo {
            name: "fc2",
            shape: &[5],
            evaluation: castnet::per_sample(16, 21),
            training: castnet::per_sample(48, 53),
            gradient: castnet::per_sample(64, 69),
            frozen: castnet::per_sample(64, 69),
        }],
        parameters: &[
            castnet::ParameterInfo {
                name: "fc1.weight",
                shape: &[8, 12],
                offset: 0,
                init: castnet::Init::Uniform(0.288_675_13),
            },
            castnet::ParameterInfo {
                name: "fc1.bias",
                shape: &[8],
                offset: 96,
                init: castnet::Init::Uniform(0.288_675_13),
            },
            castnet::ParameterInfo {
                name: "fc2.weight",
                shape: &[5, 8],
                offset: 104,
                init: castnet::Init::Uniform(0.353_553_4),
            },
            castnet::ParameterInfo {
                name: "fc2.bias",
                shape: &[5],
                offset: 144,
                init: castnet::Init::Uniform(0.353_553_4),
            },
        ],
        buffers: &[],
        parameter_count: 149,
        buffer_count: 0,
        macs: 136,
        evaluation: castnet::ArenaSize { fixed: 0, per_sample: 32 },
        training: castnet::ArenaSize { fixed: 0, per_sample: 96 },
        loss: Some(castnet::Loss::CrossEntropy),
        minimum_training_batch: 1,
        minimum_evaluation_batch: 1,
    };

    impl castnet::Network for Mlp {
        const INFO: &'static castnet::NetworkInfo = &INFO;
        const PASSES: castnet::Passes = castnet::Passes {
            evaluation: Self::evaluation_pass,
            training: Self::training_pass,
            backward: Self::backward_pass,
        };

        type Inputs<'a> = castnet::ndarray::ArrayView2<'a, f32>;
        type OutputViews<'a> = castnet::ndarray::ArrayView2<'a, f32>;
        type Outputs = castnet::ndarray::Array2<f32>;
        type Sample<'a> = &'a [f32; 12];
        type Prediction = [f32; 5];

        fn state(&self) -> &castnet::State {
            &self.state
        }

        fn state_mut(&mut self) -> &mut castnet::State {
            &mut self.state
        }

        fn from_state(state: castnet::State) -> Self {
            Self { state }
        }
    }

    impl Mlp {
        fn evaluation_pass(
            context: &mut castnet::Context,
            parameters: &[f32],
            _buffers: &[f32],
            arena: &mut castnet::Arena,
        ) {
            fc1(context, parameters, arena);
            tanh1(context, arena);
            fc2(context, parameters, arena);
        }

        fn training_pass(
            context: &mut castnet::Context,
            parameters: &[f32],
            _buffers: &mut [f32],
            arena: &mut castnet::Arena,
        ) {
            fc1_train(context, parameters, arena);
            tanh1_train(context, arena);
            fc2_train(context, parameters, arena);
        }

        fn backward_pass(
            context: &mut castnet::Context,
            parameters: &[f32],
            gradients: &mut [f32],
            arena: &mut castnet::Arena,
            inputs: bool,
        ) {
            fc2_backward(context, parameters, gradients, arena);
            tanh1_backward(context, arena);
            fc1_backward(context, parameters, gradients, arena, inputs);
        }
    }

    impl castnet::NetworkWithLoss for Mlp {
        const LOSS: castnet::Loss = castnet::Loss::CrossEntropy;
    }

    static FC1: castnet::Linear = castnet::Linear { in_features: 12, out_features: 8, rows: 1 };
    static TANH1: castnet::Activation = castnet::Activation::Tanh;
    static FC2: castnet::Linear = castnet::Linear { in_features: 8, out_features: 5, rows: 1 };

    /// `fc1` (mlp.toml:5): linear, `[12]` to `[8]`, in evaluation.
    fn fc1(context: &mut castnet::Context, parameters: &[f32], arena: &mut castnet::Arena) {
        let [input, output] = arena.get([castnet::per_sample(0, 12), castnet::per_sample(16, 24)]);
        let (weight, bias) = (&parameters[0..96], &parameters[96..104]);
        castnet::linear::forward(context, &FC1, input, weight, Some(bias), output);
    }

    /// `tanh1` (mlp.toml:10): tanh, `[8]`, in evaluation.
    fn tanh1(context: &mut castnet::Context, arena: &mut castnet::Arena) {
        let [input, output] = arena.get([castnet::per_sample(16, 24), castnet::per_sample(0, 8)]);
        castnet::activation::forward(context, TANH1, input, output);
    }

    /// `fc2` (mlp.toml:13): linear, `[8]` to `[5]`, in evaluation.
    fn fc2(context: &mut castnet::Context, parameters: &[f32], arena: &mut castnet::Arena) {
        let [input, output] = arena.get([castnet::per_sample(0, 8), castnet::per_sample(16, 21)]);
        let (weight, bias) = (&parameters[104..144], &parameters[144..149]);
        castnet::linear::forward(context, &FC2, input, weight, Some(bias), output);
    }

    /// `fc1` (mlp.toml:5): linear, `[12]` to `[8]`, in training.
    fn fc1_train(context: &mut castnet::Context, parameters: &[f32], arena: &mut castnet::Arena) {
        let [input, output] = arena.get([castnet::per_sample(0, 12), castnet::per_sample(16, 24)]);
        let (weight, bias) = (&parameters[0..96], &parameters[96..104]);
        castnet::linear::forward(context, &FC1, input, weight, Some(bias), output);
    }

    /// `tanh1` (mlp.toml:10): tanh, `[8]`, in training. The output is saved.
    fn tanh1_train(context: &mut castnet::Context, arena: &mut castnet::Arena) {
        let [input, output] = arena.get([castnet::per_sample(16, 24), castnet::per_sample(32, 40)]);
        castnet::activation::forward(context, TANH1, input, output);
    }

    /// `fc2` (mlp.toml:13): linear, `[8]` to `[5]`, in training.
    fn fc2_train(context: &mut castnet::Context, parameters: &[f32], arena: &mut castnet::Arena) {
        let [input, output] = arena.get([castnet::per_sample(32, 40), castnet::per_sample(48, 53)]);
        let (weight, bias) = (&parameters[104..144], &parameters[144..149]);
        castnet::linear::forward(context, &FC2, input, weight, Some(bias), output);
    }

    /// `fc2` (mlp.toml:13): gradients of weight, bias and input.
    fn fc2_backward(
        context: &mut castnet::Context,
        parameters: &[f32],
        gradients: &mut [f32],
        arena: &mut castnet::Arena,
    ) {
        let [input, grad_output, grad_input] =
            arena.get([castnet::per_sample(32, 40), castnet::per_sample(64, 69), castnet::per_sample(80, 88)]);
        castnet::linear::backward_weight(context, &FC2, input, grad_output, &mut gradients[104..144]);
        castnet::linear::backward_bias(context, &FC2, grad_output, &mut gradients[144..149]);
        castnet::linear::backward_input(context, &FC2, &parameters[104..144], grad_output, grad_input);
    }

    /// `tanh1` (mlp.toml:10): gradient of the input.
    fn tanh1_backward(context: &mut castnet::Context, arena: &mut castnet::Arena) {
        let [saved, grad_output, grad_input] =
            arena.get([castnet::per_sample(32, 40), castnet::per_sample(80, 88), castnet::per_sample(16, 24)]);
        castnet::activation::backward(context, TANH1, saved, grad_output, grad_input);
    }

    /// `fc1` (mlp.toml:5): gradients of weight and bias, and of the input where it is wanted.
    fn fc1_backward(
        context: &mut castnet::Context,
        parameters: &[f32],
        gradients: &mut [f32],
        arena: &mut castnet::Arena,
        inputs: bool,
    ) {
        let [input, grad_output, grad_input] =
            arena.get([castnet::per_sample(0, 12), castnet::per_sample(16, 24), castnet::per_sample(64, 76)]);
        castnet::linear::backward_weight(context, &FC1, input, grad_output, &mut gradients[0..96]);
        castnet::linear::backward_bias(context, &FC1, grad_output, &mut gradients[96..104]);
        if inputs {
            castnet::linear::backward_input(context, &FC1, &parameters[0..96], grad_output, grad_input);
        }
    }

    // A private network need not use all that it can do.
    #[allow(dead_code)]
    impl Mlp {
        /// Everything about the network that is not code: names, shapes, offsets, sizes.
        pub const INFO: &'static castnet::NetworkInfo = <Self as castnet::Network>::INFO;
        /// Shape of one sample of the input `input`.
        pub const INPUT_SHAPE: [usize; 1] = [12];
        /// Shape of one sample of the output `fc2`.
        pub const OUTPUT_SHAPE: [usize; 1] = [5];
        /// Floats of all parameters together.
        pub const PARAMETER_COUNT: usize = 149;
        /// Multiply-accumulates of one sample's forward pass.
        pub const MACS: u64 = 136;
        /// Bytes of activations per sample in evaluation.
        pub const EVALUATION_BYTES: usize = 128;
        /// Bytes of activations, their gradients and saved values per sample in training.
        pub const TRAINING_BYTES: usize = 384;

        /// A network whose parameters are initialised from a seed.
        pub fn new(seed: u64) -> Self {
            <Self as castnet::Network>::new(seed)
        }

        /// The outputs for a batch, in evaluation: `[batch, 12]` to `[batch, 5]`.
        pub fn forward(
            &self,
            input: castnet::ndarray::ArrayView2<'_, f32>,
        ) -> castnet::Result<castnet::ndarray::Array2<f32>> {
            castnet::Network::forward(self, input)
        }

        /// As `forward`, over the outputs of another batch: allocates nothing where the batch size is the same.
        pub fn forward_into(
            &self,
            input: castnet::ndarray::ArrayView2<'_, f32>,
            outputs: &mut castnet::ndarray::Array2<f32>,
        ) -> castnet::Result<()> {
            castnet::Network::forward_into(self, input, outputs)
        }

        /// The outputs for one sample, in evaluation.
        pub fn predict(&self, input: &[f32; 12]) -> [f32; 5] {
            castnet::Network::predict(self, input)
        }

        /// As `predict`, over the outputs of another sample; a lack of memory is an error.
        pub fn predict_into(&self, input: &[f32; 12], prediction: &mut [f32; 5]) -> castnet::Result<()> {
            castnet::Network::predict_into(self, input, prediction)
        }

        /// Runs a batch forward in training; the tape keeps what the backward pass needs.
        pub fn forward_train(
            &mut self,
            tape: &mut castnet::Tape<Self>,
            input: castnet::ndarray::ArrayView2<'_, f32>,
        ) -> castnet::Result<()> {
            castnet::Network::forward_train(self, tape, input)
        }

        /// Runs the batch on the tape backward from the gradient of the output `fc2`: `[batch, 5]`.
        pub fn backward(
            &self,
            tape: &mut castnet::Tape<Self>,
            output_gradients: castnet::ndarray::ArrayView2<'_, f32>,
        ) -> castnet::Result<()> {
            castnet::Network::backward(self, tape, output_gradients)
        }

        /// Runs the batch on the tape backward from a loss of the output `fc2`, which is returned.
        pub fn backward_from_loss<'t>(
            &self,
            tape: &mut castnet::Tape<Self>,
            loss: castnet::Loss,
            target: impl ::core::convert::Into<castnet::Target<'t>>,
        ) -> castnet::Result<f32> {
            castnet::Network::backward_from_loss(self, tape, loss, target)
        }

        /// All parameters, flat.
        pub fn parameters(&self) -> &[f32] {
            castnet::Network::parameters(self)
        }

        /// All parameters, flat.
        pub fn parameters_mut(&mut self) -> &mut [f32] {
            castnet::Network::parameters_mut(self)
        }

        /// All buffers (running statistics), flat.
        pub fn buffers(&self) -> &[f32] {
            castnet::Network::buffers(self)
        }

        /// All buffers (running statistics), flat.
        pub fn buffers_mut(&mut self) -> &mut [f32] {
            castnet::Network::buffers_mut(self)
        }

        /// Loads parameters and buffers from a safetensors file with PyTorch's names; all or nothing.
        pub fn load(&mut self, path: impl ::core::convert::AsRef<castnet::Path>) -> castnet::Result<()> {
            castnet::Network::load(self, path)
        }

        /// Loads parameters and buffers from the bytes of a safetensors file; all or nothing.
        pub fn load_bytes(&mut self, bytes: &[u8]) -> castnet::Result<()> {
            castnet::Network::load_bytes(self, bytes)
        }

        /// Writes parameters and buffers to a safetensors file with PyTorch's names.
        pub fn save(&self, path: impl ::core::convert::AsRef<castnet::Path>) -> castnet::Result<()> {
            castnet::Network::save(self, path)
        }

        /// Parameters and buffers as the bytes of a safetensors file.
        pub fn to_bytes(&self) -> castnet::Vec<u8> {
            castnet::Network::to_bytes(self)
        }
    }
};
