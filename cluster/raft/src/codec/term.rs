//! Terms and pids, in the one form that the runtime gives them.

use super::{DecodeError, Encode, Reader};
use arsenal_runtime::codec::{read_pid, read_term, write_pid, write_term};
use arsenal_runtime::{Pid, Term};

impl Encode for Pid {
    fn encode(&self, out: &mut Vec<u8>) {
        write_pid(*self, out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_pid(from)
    }
}

impl Encode for Term {
    fn encode(&self, out: &mut Vec<u8>) {
        write_term(self, out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_term(from)
    }
}
