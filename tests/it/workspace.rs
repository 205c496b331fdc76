//! The files of this repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository's top folder.
pub(crate) fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("this package is two folders down")
}

/// The names of the folders in `functions/`.
pub(crate) fn functions() -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries(&root().join("functions")).iter().filter(|path| path.is_dir()).map(name).collect()
}

/// The sample events of a function, each with its file name.
pub(crate) fn events(function: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("events").join(function);
    let files = files(&folder, "json").into_iter();
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

/// The packages in a folder, such as `shared`, by folder name.
pub(crate) fn packages(folder: &str) -> Vec<String> {
    let packages = entries(&root().join(folder)).into_iter().filter(|path| path.join("Cargo.toml").exists());
    packages.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Every page of documentation.
pub(crate) fn pages() -> Vec<PathBuf> {
    let folders = ["functions", "shared", "tests"].into_iter().flat_map(|folder| files(&root().join(folder), "md"));
    folders.chain([root().join("README.md")]).collect()
}

/// All files with this extension in a folder and its subfolders, without what the fuzz packages have built.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = entries(folder).into_iter().filter(|path| !path.ends_with("target"));
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut found: Vec<_> =
        files.into_iter().filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    found.extend(folders.iter().flat_map(|folder| self::files(folder, extension)));
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
