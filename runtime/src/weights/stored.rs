//! A network's tensors in a safetensors file, each read when it is needed: the file is never in memory as a whole.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use castnet_descriptors::state_dict::{BEGINNING, other_format};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::floats::read_floats;
use super::piece::Piece;
use super::source::Source;
use super::state_dict::StateDict;
use crate::buffer::Buffer;
use crate::error::Error;
use crate::info::NetworkInfo;

/// The tensors of a network in a file that has all of them and no others.
pub(crate) struct Stored<'a> {
    source: Box<dyn Source + 'a>,
    network: &'static str,
    /// Where the tensors lie that make up the flat parameters, in their order.
    parameters: Vec<Place>,
    /// Likewise for the flat buffers.
    buffers: Vec<Place>,
    /// Numbers that have been read, as floats.
    floats: Buffer,
    /// Numbers as they stand in the file.
    bytes: Box<[u8]>,
}

/// A tensor.
struct Place {
    /// Its floats in the flat parameters or buffers.
    floats: Range<usize>,
    dtype: Dtype,
    /// Its first byte in the file.
    at: u64,
}

/// Bytes that are read at once: whole numbers of any type, and little beside the caches.
const CHUNK: usize = 64 << 10;

/// Bytes of the length in front of a file's header.
const LENGTH: usize = 8;

/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

impl<'a> Stored<'a> {
    /// Reads the header and finds the network's tensors.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], [`Error::Weights`], and what the source says.
    pub fn open(info: &'static NetworkInfo, mut source: Box<dyn Source + 'a>, origin: &str) -> Result<Self, Error> {
        let (data, tensors) = header(source.as_mut(), origin)?;
        let mut tensors = StateDict::new(tensors, origin);
        let found = tensors.network(info, "");
        tensors.finish(info.name)?;
        let place = |(floats, tensor): (Range<usize>, Option<TensorInfo>)| {
            let TensorInfo { dtype, data_offsets: (at, _), .. } = tensor?;
            Some(Place { floats, dtype, at: data + at as u64 })
        };
        let mut found = found.tensors.into_iter();
        let parameters = info.parameters.iter().map(|parameter| parameter.range());
        let parameters = parameters.zip(found.by_ref()).filter_map(place).collect();
        let buffers = info.buffers.iter().map(|buffer| buffer.range()).zip(found).filter_map(place).collect();
        let bytes = vec![0; CHUNK].into_boxed_slice();
        Ok(Self { source, network: info.name, parameters, buffers, floats: Buffer::new(), bytes })
    }

    /// Some pieces of the flat parameters and buffers, all readable at once.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and what the source says.
    pub fn get<const N: usize>(&mut self, pieces: [Piece; N]) -> Result<[&[f32]; N], Error> {
        let lengths = pieces.each_ref().map(|piece| piece.range().len());
        let total = lengths.iter().sum();
        if self.floats.len() < total {
            // The old one first: there need not be room for both.
            self.floats = Buffer::new();
            self.floats = Buffer::try_zeroed(total).map_err(|_| Error::TooLarge {
                network: self.network,
                what: "the weights of a layer",
                batch: None,
                bytes: total.checked_mul(4),
            })?;
        }
        let mut floats = core::mem::take(&mut self.floats);
        let result = self.copy(pieces, &mut floats[..total]);
        self.floats = floats;
        result?;
        let mut rest = &self.floats[..total];
        Ok(lengths.map(|length| {
            let (piece, after) = rest.split_at(length);
            rest = after;
            piece
        }))
    }

    /// Reads pieces one behind the other.
    ///
    /// # Errors
    ///
    /// What the source says.
    ///
    /// # Panics
    ///
    /// Where `to` is shorter than they are.
    pub fn copy<const N: usize>(&mut self, pieces: [Piece; N], to: &mut [f32]) -> Result<(), Error> {
        let mut rest = to;
        for piece in pieces {
            let (first, after) = rest.split_at_mut(piece.range().len());
            self.read(&piece, first)?;
            rest = after;
        }
        Ok(())
    }

    /// Reads a piece: one tensor, or several that follow each other.
    fn read(&mut self, piece: &Piece, to: &mut [f32]) -> Result<(), Error> {
        let places = match piece {
            Piece::Parameter(_) => &self.parameters,
            Piece::Buffer(_) => &self.buffers,
        };
        let wanted = piece.range();
        let first = places.partition_point(|place| place.floats.end <= wanted.start);
        for place in places[first..].iter().take_while(|place| place.floats.start < wanted.end) {
            let (from, end) = (wanted.start.max(place.floats.start), wanted.end.min(place.floats.end));
            let size = place.dtype.bitsize() / 8;
            let mut at = place.at + ((from - place.floats.start) * size) as u64;
            for floats in to[from - wanted.start..end - wanted.start].chunks_mut(CHUNK / size) {
                let bytes = &mut self.bytes[..floats.len() * size];
                self.source.read(at, bytes)?;
                read_floats(place.dtype, bytes, floats);
                at += bytes.len() as u64;
            }
        }
        Ok(())
    }
}

/// The tensors that a file's header names, and where the first one's bytes begin.
fn header(source: &mut dyn Source, origin: &str) -> Result<(u64, Vec<(alloc::string::String, TensorInfo)>), Error> {
    let all = source.len()?;
    let mut beginning = [0; BEGINNING];
    let beginning = &mut beginning[..all.min(BEGINNING as u64) as usize];
    source.read(0, beginning)?;
    let help = other_format(beginning);
    let refused = |source| Error::Format { origin: origin.to_string(), help, source: Box::new(source) };
    let Some(length) = beginning.first_chunk::<LENGTH>() else {
        return Err(refused(SafeTensorError::HeaderTooSmall));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST_HEADER {
        return Err(refused(SafeTensorError::HeaderTooLarge));
    }
    if length > all - LENGTH as u64 {
        return Err(refused(SafeTensorError::InvalidHeaderLength));
    }
    let mut header = vec![0; length as usize];
    source.read(LENGTH as u64, &mut header)?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| refused(SafeTensorError::InvalidHeaderDeserialization(error)))?;
    let data = LENGTH as u64 + length;
    if header.data_len() as u64 != all - data {
        return Err(refused(SafeTensorError::MetadataIncompleteBuffer));
    }
    Ok((data, header.tensors().into_iter().map(|(name, tensor)| (name, tensor.clone())).collect()))
}

impl fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("network", &self.network).finish_non_exhaustive()
    }
}
