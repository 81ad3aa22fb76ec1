//! Which kernel modules follow from a wish, and in which order they are loaded.
//!
//! Debian ships no modules.dep in the package, so the needs are read from each module's `.modinfo`: `depends=a,b` must
//! be loaded before it, `softdep=pre: c` too where there is such a module. Names are compared with `-` as `_`.
//! What is built into the kernel needs no loading.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object, ObjectSection};

/// What a module says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// `depends=`.
    pub depends: Vec<String>,
    /// The `pre:` part of `softdep=`.
    pub before: Vec<String>,
}

/// Why no load order can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel package has no such module, and the kernel has it not built in.
    #[error("the kernel has no module {module:?}, wanted by {wanted_by}; check its spelling")]
    NoSuchModule {
        /// The module.
        module: String,
        /// The overlay or module that wants it.
        wanted_by: String,
    },
    /// Not an object file, or without `.modinfo`.
    #[error("cannot read what kernel module {module:?} depends on")]
    Damaged {
        /// The module.
        module: String,
        /// What is wrong, when the object file is.
        #[source]
        source: Option<object::Error>,
    },
    /// Modules need each other.
    #[error("kernel modules depend on each other in a circle: {0}")]
    Circle(String),
}

/// A module's name as the kernel writes it: of `kernel/net/8021q/8021q.ko.xz` the text `8021q`, `-` as `_`.
#[must_use]
pub fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// Reads a decompressed module's needs.
///
/// # Errors
/// [`Error::Damaged`].
pub fn needs(module: &str, content: &[u8]) -> Result<Needs, Error> {
    let damaged = |source| Error::Damaged {
        module: module.to_owned(),
        source,
    };
    let file = object::File::parse(content).map_err(|error| damaged(Some(error)))?;
    let section = file.section_by_name(".modinfo").ok_or_else(|| damaged(None))?;
    Ok(parse(section.data().map_err(|error| damaged(Some(error)))?))
}

/// `key=value` texts, each ended by a zero byte.
fn parse(modinfo: &[u8]) -> Needs {
    let mut needs = Needs::default();
    for field in modinfo.split(|byte| *byte == 0) {
        let field = String::from_utf8_lossy(field);
        let names = |list: &str, separator: char| -> Vec<String> {
            list.split(separator)
                .map(name)
                .filter(|name| !name.is_empty())
                .collect()
        };
        match field.split_once('=') {
            Some(("depends", list)) => needs.depends.extend(names(list, ',')),
            Some(("softdep", list)) => {
                let before = list
                    .split("post:")
                    .find_map(|part| part.trim().strip_prefix("pre:"));
                needs.before.extend(names(before.unwrap_or_default().trim(), ' '));
            }
            _ => {}
        }
    }
    needs
}

/// The modules to load, in order: the wished ones as they are listed, each after what it needs.
///
/// `wishes` are names and who wants them; `available` says whether the package has a module; `needs` reads one.
///
/// # Errors
/// A module that is nowhere, cannot be read, or is in a circle.
pub fn load_order<E: From<Error>>(
    wishes: &[(String, String)],
    built_in: &BTreeSet<String>,
    available: impl Fn(&str) -> bool,
    mut needs: impl FnMut(&str) -> Result<Needs, E>,
) -> Result<Vec<String>, E> {
    let mut order = Order {
        built_in,
        available: &available,
        needs: &mut needs,
        state: BTreeMap::new(),
        list: Vec::new(),
    };
    for (module, wanted_by) in wishes {
        order.visit(&name(module), wanted_by)?;
    }
    Ok(order.list)
}

struct Order<'a, E> {
    built_in: &'a BTreeSet<String>,
    available: &'a dyn Fn(&str) -> bool,
    needs: &'a mut dyn FnMut(&str) -> Result<Needs, E>,
    state: BTreeMap<String, State>,
    list: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Entered,
    Done,
}

impl<E: From<Error>> Order<'_, E> {
    fn visit(&mut self, module: &str, wanted_by: &str) -> Result<(), E> {
        match self.state.get(module) {
            Some(State::Done) => return Ok(()),
            Some(State::Entered) => return Err(Error::Circle(format!("{module}, {wanted_by}")).into()),
            None if self.built_in.contains(module) => return Ok(()),
            None => {}
        }
        if !(self.available)(module) {
            let wanted_by = wanted_by.to_owned();
            return Err(Error::NoSuchModule {
                module: module.to_owned(),
                wanted_by,
            }
            .into());
        }
        self.state.insert(module.to_owned(), State::Entered);
        let needs = (self.needs)(module)?;
        for before in needs.before.iter().filter(|before| (self.available)(before)) {
            // A soft dependency that leads back here is only a hint, and is dropped.
            if self.state.get(before) != Some(&State::Entered) {
                self.visit(before, module)?;
            }
        }
        for depends in &needs.depends {
            self.visit(depends, module)?;
        }
        self.state.insert(module.to_owned(), State::Done);
        self.list.push(module.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `module: depends [| pre-softdeps]`, one a line.
    fn order(lines: &str, wishes: &[&str]) -> Result<Vec<String>, Error> {
        let modules: BTreeMap<String, Needs> = lines
            .lines()
            .map(|line| {
                let (module, needs) = line.trim().split_once(':').unwrap();
                let (depends, before) = needs.split_once('|').unwrap_or((needs, ""));
                let list = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
                (
                    module.to_owned(),
                    Needs {
                        depends: list(depends),
                        before: list(before),
                    },
                )
            })
            .collect();
        let built_in = BTreeSet::from(["built_in".to_owned()]);
        let wishes: Vec<_> = wishes
            .iter()
            .map(|wish| ((*wish).to_owned(), "overlays/test".to_owned()))
            .collect();
        load_order(
            &wishes,
            &built_in,
            |module| modules.contains_key(module),
            |module| Ok(modules[module].clone()),
        )
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let lines = "ext4: jbd2 mbcache crc16\njbd2: crc16\nmbcache:\ncrc16:\nwatchdog:";
        let expected = ["watchdog", "crc16", "jbd2", "mbcache", "ext4"];
        assert_eq!(order(lines, &["watchdog", "ext4", "jbd2"]).unwrap(), expected);
    }

    #[test]
    fn soft_dependencies_count_where_they_exist() {
        assert_eq!(
            order("r8169: mdio | realtek gone\nrealtek:\nmdio:", &["r8169"]).unwrap(),
            ["realtek", "mdio", "r8169"]
        );
        assert_eq!(order("a: | b\nb: a", &["b"]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn built_in_modules_need_nothing() {
        assert_eq!(order("a: built_in", &["built-in", "a"]).unwrap(), ["a"]);
    }

    #[test]
    fn a_missing_module_names_who_wants_it() {
        let message = |lines, wish| order(lines, &[wish]).unwrap_err().to_string();
        assert_eq!(
            message("a:", "b"),
            "the kernel has no module \"b\", wanted by overlays/test; check its spelling"
        );
        assert_eq!(
            message("a: b", "a"),
            "the kernel has no module \"b\", wanted by a; check its spelling"
        );
    }

    #[test]
    fn a_circle_is_an_error() {
        assert!(matches!(order("a: b\nb: a", &["a"]), Err(Error::Circle(_))));
    }

    #[test]
    fn modinfo_is_parsed() {
        let needs = parse(b"license=GPL\0depends=mdio,nf-nat\0softdep=pre: realtek crc32c post: x\0name=a\0");
        assert_eq!(
            needs,
            Needs {
                depends: vec!["mdio".into(), "nf_nat".into()],
                before: vec!["realtek".into(), "crc32c".into()]
            }
        );
        assert_eq!(parse(b"depends=\0"), Needs::default());
        assert_eq!(
            name("kernel/drivers/usb/storage/usb-storage.ko.xz"),
            "usb_storage"
        );
    }
}
