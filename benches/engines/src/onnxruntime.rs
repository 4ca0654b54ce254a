//! ONNX Runtime through its C interface, without what Python adds to a call.

use crate::{Engine, Result, Setup};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::Tensor;

pub fn engine(setup: &Setup) -> Result<Engine> {
    let library = setup.library.as_deref().ok_or("no library: --library or ORT_DYLIB_PATH says where it is")?;
    let environment = ort::init_from(library)?.build()?;
    let mut session = Session::builder(&environment)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(text)?
        .with_intra_threads(setup.threads)
        .map_err(text)?
        .with_inter_threads(1)
        .map_err(text)?
        // A thread of it that spins while another engine is measured would take a core.
        .with_config_entry("session.force_spinning_stop", "1")
        .map_err(text)?
        .commit_from_file(&setup.onnx)?;
    // Both ends stay bound: nothing is copied or allocated for a call.
    let mut binding = session.create_binding()?;
    binding.bind_input("input", &Tensor::from_array((setup.shape, setup.input.clone()))?)?;
    binding.bind_output("output", Tensor::<f32>::new(session.allocator(), [1, setup.outputs])?)?;
    Ok(Box::new(move |output| {
        let result = session.run_binding(&binding)?;
        output.copy_from_slice(result["output"].try_extract_tensor::<f32>()?.1);
        Ok(())
    }))
}

fn text(error: ort::Error<SessionBuilder>) -> String {
    error.to_string()
}
