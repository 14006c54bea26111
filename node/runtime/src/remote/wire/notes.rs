//! The bytes of what a process that has moved and its former pids tell each other.

use super::{Address, Parcel, read_ref, write_ref};
use crate::codec::{DecodeError, Reader, put_count, read_pid, write_pid};
use crate::passage::Note;
use crate::pid::Pid;

mod tag {
    pub(super) const CAME: u8 = 1;
    pub(super) const UNLINK: u8 = 2;
    pub(super) const DEMONITOR: u8 = 3;
    pub(super) const FENCE: u8 = 4;
    pub(super) const VIA: u8 = 5;
    pub(super) const MOVED: u8 = 6;
    pub(super) const FENCE_AND_WATCH: u8 = 7;
}

pub(super) fn write(note: &Note, out: &mut Vec<u8>) {
    match note {
        Note::Came(signal) => {
            out.push(tag::CAME);
            // for nobody here: whom it came to says who sends the note
            super::write(&Parcel::new(Address::Pid(Pid::NONE), signal.clone()), out);
        }
        Note::Unlink { of } => {
            out.push(tag::UNLINK);
            write_pid(*of, out);
        }
        Note::Demonitor { of, reference } => {
            out.push(tag::DEMONITOR);
            write_pid(*of, out);
            write_ref(*reference, out);
        }
        Note::Fence { reference, watch } => {
            out.push(if *watch { tag::FENCE_AND_WATCH } else { tag::FENCE });
            write_ref(*reference, out);
        }
        Note::Via { links, monitors } => {
            out.push(tag::VIA);
            put_count(links.len(), out);
            links.iter().for_each(|to| write_pid(*to, out));
            put_count(monitors.len(), out);
            monitors.iter().for_each(|reference| write_ref(*reference, out));
        }
        Note::Moved => out.push(tag::MOVED),
    }
}

pub(super) fn read(from: &mut Reader<'_>) -> Result<Note, DecodeError> {
    let [tag] = from.word()?;
    Ok(match tag {
        tag::CAME => Note::Came(super::read_within(from, false)?.signal),
        tag::UNLINK => Note::Unlink { of: read_pid(from)? },
        tag::DEMONITOR => Note::Demonitor { of: read_pid(from)?, reference: read_ref(from)? },
        tag::FENCE => Note::Fence { reference: read_ref(from)?, watch: false },
        tag::FENCE_AND_WATCH => Note::Fence { reference: read_ref(from)?, watch: true },
        tag::VIA => {
            let links = (0..count(from)?).map(|_| read_pid(from)).collect::<Result<_, _>>()?;
            let monitors = (0..count(from)?).map(|_| read_ref(from)).collect::<Result<_, _>>()?;
            Note::Via { links, monitors }
        }
        tag::MOVED => Note::Moved,
        tag => return Err(DecodeError::Tag { what: "note", tag }),
    })
}

fn count(from: &mut Reader<'_>) -> Result<u32, DecodeError> {
    from.word().map(u32::from_le_bytes)
}
