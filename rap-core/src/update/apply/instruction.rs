//! One step of a patch: go elsewhere in the old file, take bytes from there with a difference added to each, then take
//! bytes that are new.
//!
//! ```text
//! seek    signed, from where the last one stopped taking: 2n for n ≥ 0, else -2n-1
//! add     bytes of the old file, and of differences that follow
//! copy    bytes that follow those
//! ```
//!
//! Each number has 7 bits a byte, the low ones first, with the top bit set on all but its last byte.

use std::io::{self, Read};

/// Bytes of a number, at most: 64 bits.
const LONGEST: u32 = 10;

/// One step, without the bytes that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Bytes to go on, or back, in the old file before anything is taken.
    pub seek: i64,
    /// Bytes to take from there and to change.
    pub add: u64,
    /// Bytes to take from the patch after that.
    pub copy: u64,
}

impl Instruction {
    /// Appends it to a patch.
    pub fn write(&self, patch: &mut Vec<u8>) {
        let zigzag = (self.seek << 1 ^ self.seek >> 63).cast_unsigned();
        for number in [zigzag, self.add, self.copy] {
            write(number, patch);
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// What reading gives; `InvalidData` for a number of more than 64 bits.
    pub fn read(body: &mut impl Read) -> io::Result<Self> {
        let zigzag = read(body)?;
        Ok(Self {
            seek: (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed(),
            add: read(body)?,
            copy: read(body)?,
        })
    }
}

fn write(mut number: u64, patch: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return patch.push(low);
        }
        patch.push(low | 0x80);
    }
}

fn read(body: &mut impl Read) -> io::Result<u64> {
    let mut number = 0;
    for place in 0..LONGEST {
        let mut byte = [0];
        body.read_exact(&mut byte)?;
        let bits = u64::from(byte[0] & 0x7f);
        if bits << (7 * place) >> (7 * place) != bits {
            break;
        }
        number |= bits << (7 * place);
        if byte[0] < 0x80 {
            return Ok(number);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a number has more than 64 bits",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(instruction: &Instruction) -> Vec<u8> {
        let mut bytes = Vec::new();
        instruction.write(&mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_these() {
        let instruction = Instruction {
            seek: -2,
            add: 300,
            copy: 0,
        };
        assert_eq!(bytes(&instruction), [3, 0xac, 2, 0]);
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let eleven = [&[0x80; 10][..], &[0]].concat();
        let large = [&[0xff; 9][..], &[2]].concat();
        for number in [eleven, large] {
            let error = read(&mut number.as_slice()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let largest = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(read(&mut largest.as_slice()).unwrap(), u64::MAX);
    }

    proptest! {
        #[test]
        fn there_and_back(seek: i64, add: u64, copy: u64) {
            let instruction = Instruction { seek, add, copy };
            prop_assert_eq!(Instruction::read(&mut bytes(&instruction).as_slice()).unwrap(), instruction);
        }
    }
}
