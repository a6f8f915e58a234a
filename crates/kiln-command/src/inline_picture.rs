//! Pictures inside a terminal, where it can show them.

use std::io::IsTerminal;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How a terminal takes a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// The graphics protocol of kitty, which Ghostty and Konsole know too.
    Kitty,
    /// The file transfer of iTerm2, which WezTerm knows too.
    Iterm,
}

/// What to print so that the terminal shows a PNG; `None` where the standard output is none, or one that cannot.
pub fn escape(png: &[u8]) -> Option<String> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let protocol = protocol(&variable("TERM"), &variable("TERM_PROGRAM"), &variable("KITTY_WINDOW_ID"));
    protocol.filter(|_| std::io::stdout().is_terminal()).map(|protocol| protocol.escape(png))
}

fn protocol(term: &str, program: &str, kitty_window: &str) -> Option<Protocol> {
    // A multiplexer keeps the variables of the terminal outside and swallows its pictures.
    if term.starts_with("screen") || term.starts_with("tmux") {
        None
    } else if !kitty_window.is_empty() || term.contains("kitty") || term.contains("ghostty") || program == "ghostty" {
        Some(Protocol::Kitty)
    } else if program == "iTerm.app" || program == "WezTerm" {
        Some(Protocol::Iterm)
    } else {
        None
    }
}

impl Protocol {
    fn escape(self, png: &[u8]) -> String {
        let text = STANDARD.encode(png);
        match self {
            Self::Iterm => format!("\x1b]1337;File=inline=1;size={}:{text}\x07\n", png.len()),
            Self::Kitty => {
                // At most 4,096 letters a piece; the last one says that there is no more.
                let pieces: Vec<&str> =
                    text.as_bytes().chunks(4096).filter_map(|piece| std::str::from_utf8(piece).ok()).collect();
                let mut escapes = String::new();
                for (at, piece) in pieces.iter().enumerate() {
                    let more = u8::from(at + 1 < pieces.len());
                    let control = if at == 0 { format!("a=T,f=100,m={more}") } else { format!("m={more}") };
                    escapes += &format!("\x1b_G{control};{piece}\x1b\\");
                }
                escapes + "\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_known_by_their_variables() {
        assert_eq!(protocol("xterm-kitty", "", ""), Some(Protocol::Kitty));
        assert_eq!(protocol("xterm-256color", "", "1"), Some(Protocol::Kitty));
        assert_eq!(protocol("xterm-256color", "iTerm.app", ""), Some(Protocol::Iterm));
        assert_eq!(protocol("xterm-256color", "WezTerm", ""), Some(Protocol::Iterm));
        assert_eq!(protocol("xterm-256color", "Apple_Terminal", ""), None);
        assert_eq!(protocol("tmux-256color", "iTerm.app", ""), None);
    }

    #[test]
    fn a_picture_is_sent_in_pieces_of_which_the_last_is_marked() {
        let sent = Protocol::Kitty.escape(&[7; 7000]);
        let pieces: Vec<&str> = sent.trim_end().split_terminator("\x1b\\").collect();
        assert_eq!(pieces.len(), 3);
        assert!(pieces[0].starts_with("\x1b_Ga=T,f=100,m=1;") && pieces[2].starts_with("\x1b_Gm=0;"), "{pieces:?}");
        let text: String = pieces.iter().filter_map(|piece| piece.split_once(';')).map(|(_, text)| text).collect();
        assert_eq!(STANDARD.decode(text).unwrap(), vec![7; 7000]);
        assert!(Protocol::Iterm.escape(b"abc").starts_with("\x1b]1337;File=inline=1;size=3:YWJj"));
    }
}
