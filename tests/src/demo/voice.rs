//! What the demonstration says: steps, facts, and the box's own lines. Colours only on a terminal.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU32, Ordering};

use rap_qemu::console::{Line, Listener};

/// Tells the story on standard output.
#[derive(Debug)]
pub(super) struct Voice {
    colours: bool,
    waits: bool,
    step: AtomicU32,
}

impl Voice {
    /// With somebody before the terminal, who is waited for.
    pub(super) fn new(somebody: bool) -> Self {
        // https://no-color.org
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            colours,
            waits: somebody && io::stdin().is_terminal(),
            step: AtomicU32::new(0),
        }
    }

    /// Begins the next part of the story, when Enter was pressed.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub(super) fn step(&self, text: &str) -> io::Result<()> {
        let number = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        println!("\n{}", self.paint("1", &format!("{number}. {text}")));
        if self.waits && number > 1 {
            println!("   {}", self.paint("2", "press Enter"));
            io::stdin().read_line(&mut String::new())?;
        }
        Ok(())
    }

    /// Nobody is waited for from now on.
    pub(super) fn alone(&mut self) {
        self.waits = false;
    }

    /// Something that is now known to be so.
    pub(super) fn fact(&self, text: &str) {
        println!("   {} {text}", self.paint("32", "✓"));
    }

    /// The end.
    pub(super) fn done(&self, text: &str) {
        println!("\n{}", self.paint("1;32", text));
    }

    /// Shows the console as it comes: the box's own lines, or all of them.
    pub(super) fn console(&self, all: bool) -> Listener {
        let colours = self.colours;
        Box::new(move |line: &Line| {
            if all || line.text.starts_with("rap ") || line.text.contains("Kernel panic") {
                let text = format!("     {:7.2}  {}", line.at.as_secs_f64(), line.text);
                println!("{}", paint(colours, "2", &text));
            }
        })
    }

    fn paint(&self, code: &str, text: &str) -> String {
        paint(self.colours, code, text)
    }
}

fn paint(colours: bool, code: &str, text: &str) -> String {
    if colours {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_there_are_no_escapes() {
        assert_eq!(paint(false, "1", "x"), "x");
        assert_eq!(paint(true, "1", "x"), "\x1b[1mx\x1b[0m");
    }
}
