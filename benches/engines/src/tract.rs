//! tract reads the ONNX file.

use crate::{Engine, Result, Setup};
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

pub fn engine(setup: &Setup) -> Result<Engine> {
    let model = tract_onnx::onnx()
        .model_for_path(&setup.onnx)?
        .with_input_fact(0, f32::fact(setup.shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let mut state = model.spawn()?;
    let input = Tensor::from_shape(&setup.shape, &setup.input)?.into_arc_tensor().into_tvalue();
    let executor = if setup.threads > 1 { Executor::multithread(setup.threads) } else { Executor::SingleThread };
    Ok(Box::new(move |output| {
        let result = multithread_tract_scope(executor.clone(), || state.run(tvec!(input.clone())))?;
        output.copy_from_slice(result[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }))
}
