//! Segments whose options no sound sender would write in that way.

use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::TcpOptions;

/// A segment with `options` byte for byte: what is built is one without any whose payload begins with them.
pub fn build_raw(
    template: &FrameTemplate,
    tcp: &TcpRepr,
    options: &[u8],
    payload: &[u8],
    bytes: &mut [u8],
) -> usize {
    let bare = TcpRepr { options: TcpOptions::default(), ..tcp.clone() };
    let len = template.build(&bare, &[options, payload].concat(), bytes).expect("it fits");
    let words = (20 + options.len()) / 4;
    let offset = len - payload.len() - options.len() - 20 + 12;
    bytes[offset] = (words as u8) << 4 | bytes[offset] & 0x0f;
    template.fill_checksum(&mut bytes[..len]);
    len
}
