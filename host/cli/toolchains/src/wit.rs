//! The WIT of a project: the only world of the package in `wit/`.
//!
//! A world may include or import the host's interface without a copy of its package, which is
//! provided to every reader of the WIT. A copy that the project has takes precedence.

use crate::error::{BuildError, WitError};
use crate::{Language, tool};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use wit_parser::{Function, PackageName, Resolve, SourceMap, TypeDefKind, UnresolvedPackageGroup};
use wit_parser::{Type, WorldId, WorldItem};

/// The packages that are provided: the file as it would be in `deps`, the version, the text.
const LENT: [(&str, &str, &str); 2] = [
    (
        "rwasm-task-0.2.wit",
        "0.2.0",
        include_str!("../wit/host-0.2.wit"),
    ),
    (
        "rwasm-task-0.1.wit",
        "0.1.0",
        include_str!("../wit/host-0.1.wit"),
    ),
];

/// A project's world.
pub(crate) struct World {
    /// The directory of the WIT.
    pub(crate) dir: PathBuf,
    pub(crate) resolve: Resolve,
    pub(crate) id: WorldId,
    /// What the project uses without a copy of it: file and text.
    lent: Vec<(&'static str, &'static str)>,
}

/// A function that C sources have to define.
pub(crate) struct Promised {
    pub(crate) symbol: String,
    pub(crate) function: String,
    /// Where the WIT declares it: file, line and column.
    pub(crate) place: String,
    /// The header that declares it, without its extension.
    pub(crate) header: String,
}

impl World {
    /// Returns the world of the project in `dir`; `None` if there is no WIT.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, WitError> {
        let dir = dir.join("wit");
        let has_wit = fs::read_dir(&dir)
            .is_ok_and(|entries| entries.flatten().any(|entry| is_wit(&entry.path())));
        if !has_wit {
            return Ok(None);
        }
        let mut resolve = Resolve::default();
        let lent = lent(&dir);
        let package = lent
            .iter()
            .try_for_each(|(name, text)| resolve.push_str(name, text).map(drop))
            .and_then(|()| resolve.push_path(&dir));
        let package = match package {
            Ok((package, _)) => package,
            Err(error) => {
                let reason = reason(&resolve.render_error(&error));
                return Err(WitError::Bad { dir, reason });
            }
        };
        let worlds = &resolve.packages[package].worlds;
        let &[id] = worlds.values().copied().collect::<Vec<_>>().as_slice() else {
            let names: Vec<_> = worlds.keys().map(String::as_str).collect();
            let found = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            return Err(WitError::Worlds { dir, found });
        };
        Ok(Some(Self {
            dir,
            resolve,
            id,
            lent,
        }))
    }

    /// Returns the world of a project that must have one.
    pub(crate) fn of(dir: &Path, language: Language) -> Result<Self, WitError> {
        Self::find(dir)?.ok_or_else(|| WitError::None {
            dir: dir.to_owned(),
            language,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.resolve.worlds[self.id].name
    }

    /// Returns a directory with all of the WIT, for tools that do not know the provided packages:
    /// the project's own if it is complete, otherwise a copy in `workplace`.
    pub(crate) fn complete(&self, workplace: &Path) -> Result<PathBuf, BuildError> {
        if self.lent.is_empty() {
            return Ok(self.dir.clone());
        }
        let copy = workplace.join("wit");
        tool::remove(&copy)?;
        copy_wit(&self.dir, &copy)?;
        let deps = copy.join("deps");
        tool::make(&deps)?;
        for (name, text) in &self.lent {
            tool::write(&deps.join(name), text.as_bytes())?;
        }
        Ok(copy)
    }

    /// Returns the functions that the world itself exports, as C names them.
    pub(crate) fn promised(&self) -> Vec<Promised> {
        let world = &self.resolve.worlds[self.id];
        let header = world.name.replace('-', "_");
        let functions = world.exports.values().filter_map(|item| match item {
            WorldItem::Function(function) => Some(function),
            _ => None,
        });
        let promised = functions.map(|function| Promised {
            symbol: format!("exports_{header}_{}", function.name.replace('-', "_")).to_lowercase(),
            function: function.name.clone(),
            place: self.resolve.render_location(function.span),
            header: header.clone(),
        });
        promised.collect()
    }

    /// Refuses a world with a type on which `tool` fails without a helpful message.
    pub(crate) fn refuse_what_cannot_pass(&self, tool: &str) -> Result<(), WitError> {
        let world = &self.resolve.worlds[self.id];
        let functions = world
            .exports
            .values()
            .chain(world.imports.values())
            .flat_map(|item| self.functions(item));
        for function in functions {
            let parameters = function
                .params
                .iter()
                .map(|param| (format!("its parameter `{}`", param.name), param.ty));
            let result = function.result.map(|ty| ("its result".to_owned(), ty));
            for (place, ty) in parameters.chain(result) {
                if let Some((found, instead)) = self.unpassable(ty) {
                    return Err(WitError::Unpassable {
                        dir: self.dir.clone(),
                        function: function.name.as_str().into(),
                        place: place.into(),
                        found: found.into(),
                        instead: instead.into(),
                        tool: tool.into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn functions<'a>(&'a self, item: &'a WorldItem) -> Vec<&'a Function> {
        match item {
            WorldItem::Function(function) => vec![function],
            WorldItem::Interface { id, .. } => {
                self.resolve.interfaces[*id].functions.values().collect()
            }
            WorldItem::Type { .. } => Vec::new(),
        }
    }

    /// Returns the first map or fixed-length list in values of the type, and what to write instead.
    fn unpassable(&self, ty: Type) -> Option<(String, String)> {
        let Type::Id(id) = ty else { return None };
        match &self.resolve.types[id].kind {
            TypeDefKind::Map(key, value) => {
                let entry = format!("{}, {}", self.text(*key), self.text(*value));
                Some((format!("map<{entry}>"), format!("list<tuple<{entry}>>")))
            }
            TypeDefKind::FixedLengthList(ty, length) => {
                let ty = self.text(*ty);
                Some((format!("list<{ty}, {length}>"), format!("list<{ty}>")))
            }
            TypeDefKind::Record(record) => record
                .fields
                .iter()
                .find_map(|field| self.unpassable(field.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(|ty| self.unpassable(*ty)),
            TypeDefKind::Variant(variant) => variant
                .cases
                .iter()
                .find_map(|case| self.unpassable(case.ty?)),
            TypeDefKind::Result(result) => result
                .ok
                .into_iter()
                .chain(result.err)
                .find_map(|ty| self.unpassable(ty)),
            TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::Type(ty) => {
                self.unpassable(*ty)
            }
            _ => None,
        }
    }

    /// Writes a type as WIT does.
    fn text(&self, ty: Type) -> String {
        let Type::Id(id) = ty else {
            return format!("{ty:?}").to_lowercase();
        };
        let definition = &self.resolve.types[id];
        if let Some(name) = &definition.name {
            return name.clone();
        }
        let all = |types: &[Type]| {
            let types: Vec<_> = types.iter().map(|ty| self.text(*ty)).collect();
            types.join(", ")
        };
        match &definition.kind {
            TypeDefKind::List(ty) => format!("list<{}>", self.text(*ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.text(*ty)),
            TypeDefKind::Tuple(tuple) => format!("tuple<{}>", all(&tuple.types)),
            TypeDefKind::Map(key, value) => format!("map<{}>", all(&[*key, *value])),
            TypeDefKind::FixedLengthList(ty, length) => {
                format!("list<{}, {length}>", self.text(*ty))
            }
            TypeDefKind::Type(ty) => self.text(*ty),
            other => other.as_str().to_owned(),
        }
    }
}

fn is_wit(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wit")
}

/// Returns the provided packages that the WIT in `dir` uses and does not contain.
fn lent(dir: &Path) -> Vec<(&'static str, &'static str)> {
    let (mut used, mut defined) = (BTreeSet::new(), BTreeSet::new());
    for group in groups(dir) {
        for package in group.nested.iter().chain([&group.main]) {
            used.extend(package.foreign_deps.keys().cloned());
            defined.insert(package.name.clone());
        }
    }
    let is_lent = |package: &PackageName, version: &str| {
        package.namespace == "rwasm"
            && package.name == "task"
            && package
                .version
                .as_ref()
                .is_some_and(|found| found.to_string() == version)
    };
    LENT.into_iter()
        .filter(|(_, version, _)| used.difference(&defined).any(|name| is_lent(name, version)))
        .map(|(name, _, text)| (name, text))
        .collect()
}

/// Returns the packages in `dir` and in its `deps`, as far as they can be parsed: errors are
/// reported when they are resolved.
fn groups(dir: &Path) -> Vec<UnresolvedPackageGroup> {
    let mut groups: Vec<_> = UnresolvedPackageGroup::parse_dir(dir).into_iter().collect();
    for entry in fs::read_dir(dir.join("deps"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            groups.extend(UnresolvedPackageGroup::parse_dir(&path));
        } else if is_wit(&path) {
            let mut text = SourceMap::new();
            if text.push_file(&path).is_ok() {
                groups.extend(text.parse());
            }
        }
    }
    groups
}

/// Copies WIT with its `deps`.
fn copy_wit(from: &Path, to: &Path) -> Result<(), BuildError> {
    let io = |source| BuildError::Io {
        what: format!("copy {}", from.display()),
        source,
    };
    tool::make(to)?;
    for entry in fs::read_dir(from).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_wit(&path, &place)?;
        } else {
            fs::copy(&path, &place).map_err(io)?;
        }
    }
    Ok(())
}

/// Returns what is wrong, without the directory, which the parser repeats at each step.
fn reason(error: &str) -> String {
    let mut rest = error;
    while rest.starts_with("failed to resolve directory") || rest.starts_with("failed to parse ") {
        match rest.split_once(": ") {
            Some((_, after)) => {
                rest = after
                    .split_once(": ")
                    .filter(|(path, _)| Path::new(path).is_absolute())
                    .map_or(after, |(_, after)| after);
            }
            None => break,
        }
    }
    rest.to_owned()
}
