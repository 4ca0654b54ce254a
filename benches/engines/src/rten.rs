//! rten reads the ONNX file.

use crate::{Engine, Result, Setup};
use rten::{ModelOptions, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};
use std::sync::Arc;

pub fn engine(setup: &Setup) -> Result<Engine> {
    // Weights in the order that products read them: rten does not rearrange them unless asked to.
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&setup.onnx)?;
    let input = Tensor::from_data(&setup.shape, setup.input.clone());
    let options = RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(setup.threads))));
    Ok(Box::new(move |output| {
        let result = model.run_one(input.view().into(), Some(options.clone()))?;
        let result: TensorView<f32> = (&result).try_into()?;
        output.copy_from_slice(result.data().ok_or("an output in pieces")?);
        Ok(())
    }))
}
