//! Files in WASI 0.3: the functions of `wasi:filesystem/types` that open or change something, in place of those of
//! `wasmtime-wasi`, to which they pass what the account allows.

mod streams;

use super::super::pending::{self, Call, replacing};
use super::super::quota::{NoRoom, Quota, is_beyond_files};
use super::super::state::GuestState;
use super::has_room;
use crate::sandbox::module::imports::PREVIEW3;
use std::future::Future;
use std::pin::Pin;
use wasmtime::component::{Accessor, Linker, LinkerInstance, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorType, ErrorCode, Filesize, HostDescriptorWithStore as _,
    NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

/// What a function of WASI returns to the guest.
type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

type Answering<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

/// A file or directory that a guest has open.
type Open = Resource<Descriptor>;

/// The longest path that a system takes, in bytes.
const LONGEST_PATH: usize = 4096;

/// A call that has begun, or what the guest is told instead.
macro_rules! begun {
    ($call:expr) => {
        match $call? {
            Ok(call) => call,
            Err(error) => return Ok((Err(error),)),
        }
    };
}

/// Defines the functions, replacing wasmtime's.
pub(in crate::sandbox) fn define(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    replacing(linker, replace)
}

fn replace(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{PREVIEW3}"))?;
    types.func_wrap_concurrent("[method]descriptor.open-at", open_at)?;
    types.func_wrap_concurrent("[method]descriptor.set-size", set_size)?;
    types.func_wrap_concurrent(
        "[method]descriptor.create-directory-at",
        |accessor, (dir, path): (Open, String)| {
            let call = begin(accessor, &[&path]);
            Box::pin(async move {
                let _call = begun!(call);
                let make =
                    async |wasi: &Wasi| WasiFilesystem::create_directory_at(wasi, dir, path).await;
                answer(made(accessor, make).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.symlink-at",
        |accessor, (dir, content, path): (Open, String, String)| {
            let call = begin(accessor, &[&content, &path]);
            Box::pin(async move {
                let _call = begun!(call);
                let make =
                    async |wasi: &Wasi| WasiFilesystem::symlink_at(wasi, dir, content, path).await;
                answer(made(accessor, make).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        |accessor, (from, flags, old, to, new): (Open, PathFlags, String, Open, String)| {
            let call = begin(accessor, &[&old, &new]);
            Box::pin(async move {
                let _call = begun!(call);
                let make = async |wasi: &Wasi| {
                    WasiFilesystem::link_at(wasi, from, flags, old, to, new).await
                };
                answer(made(accessor, make).await)
            })
        },
    )?;
    pass_on(&mut types)?;
    streams::define(&mut types)
}

/// Defines functions that are passed on to wasmtime's, but for their number and the lengths of paths.
macro_rules! pass_on {
    ($types:expr; $($name:literal => $function:ident($($arg:ident: $ty:ty),*) of [$($path:ident),*];)*) => {
        $($types.func_wrap_concurrent(
            concat!("[method]descriptor.", $name),
            |accessor, ($($arg,)*): ($($ty,)*)| {
                let call = begin(accessor, &[$(&$path),*]);
                Box::pin(async move {
                    let _call = begun!(call);
                    answer(WasiFilesystem::$function(&wasi(accessor), $($arg),*).await)
                })
            },
        )?;)*
    };
}

fn pass_on(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    pass_on! { types;
        "advise" => advise(file: Open, offset: Filesize, length: Filesize, advice: Advice) of [];
        "sync-data" => sync_data(file: Open) of [];
        "sync" => sync(file: Open) of [];
        "get-flags" => get_flags(file: Open) of [];
        "get-type" => get_type(file: Open) of [];
        "set-times" => set_times(file: Open, accessed: NewTimestamp, modified: NewTimestamp) of [];
        "stat" => stat(file: Open) of [];
        "stat-at" => stat_at(dir: Open, flags: PathFlags, path: String) of [path];
        "set-times-at" => set_times_at(
            dir: Open, flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp
        ) of [path];
        "readlink-at" => readlink_at(dir: Open, path: String) of [path];
        "remove-directory-at" => remove_directory_at(dir: Open, path: String) of [path];
        "rename-at" => rename_at(from: Open, old: String, to: Open, new: String) of [old, new];
        "unlink-file-at" => unlink_file_at(dir: Open, path: String) of [path];
        "metadata-hash" => metadata_hash(file: Open) of [];
        "metadata-hash-at" => metadata_hash_at(dir: Open, flags: PathFlags, path: String) of [path];
    }
    types.func_wrap_concurrent(
        "[method]descriptor.is-same-object",
        |accessor, (file, other): (Open, Open)| {
            let call = pending::begin(accessor);
            Box::pin(async move {
                let _call = call?;
                let is_same = WasiFilesystem::is_same_object(&wasi(accessor), file, other).await;
                is_same.map(|is_same| (is_same,))
            })
        },
    )
}

/// Begins a call with these paths. The inner error is for the guest.
fn begin(
    accessor: &Accessor<GuestState>,
    paths: &[&String],
) -> wasmtime::Result<Result<Call, ErrorCode>> {
    let call = pending::begin(accessor)?;
    let is_long = |path: &&String| path.len() > LONGEST_PATH;
    if paths.iter().any(is_long) {
        return Ok(Err(ErrorCode::NameTooLong));
    }
    Ok(Ok(call))
}

/// The store of a guest, as wasmtime's own functions see it.
type Wasi = Accessor<GuestState, WasiFilesystem>;

fn wasi(accessor: &Accessor<GuestState>) -> Wasi {
    accessor.with_getter::<WasiFilesystem>(GuestState::filesystem)
}

fn quota(accessor: &Accessor<GuestState>) -> Option<Quota> {
    accessor.with(|mut access| access.get().files.quota.clone())
}

/// Refuses if there is no room for another handle.
fn expect_handle(accessor: &Accessor<GuestState>) -> FilesystemResult<()> {
    accessor.with(|mut access| {
        let (view, files) = access.get().p2_and_files();
        if has_room(view.table, 1) {
            return Ok(());
        }
        files.handles_refused = true;
        Err(ErrorCode::InsufficientMemory.into())
    })
}

fn answer<T>(result: FilesystemResult<T>) -> Answer<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

impl From<NoRoom> for FilesystemError {
    fn from(_: NoRoom) -> Self {
        ErrorCode::InsufficientSpace.into()
    }
}

/// Creates a file, directory or link with this, if the task may.
async fn made<T>(
    accessor: &Accessor<GuestState>,
    make: impl AsyncFnOnce(&Wasi) -> FilesystemResult<T>,
) -> FilesystemResult<T> {
    let quota = quota(accessor);
    if let Some(quota) = &quota {
        quota.make_file()?;
    }
    let made = make(&wasi(accessor)).await;
    if let (Err(_), Some(quota)) = (&made, &quota) {
        quota.give_back_file();
    }
    made
}

/// The same handle, for a call in addition to the one it was made for.
fn again(handle: &Open) -> Open {
    Resource::new_borrow(handle.rep())
}

fn open_at(
    accessor: &Accessor<GuestState>,
    (dir, path_flags, path, open_flags, flags): (
        Open,
        PathFlags,
        String,
        OpenFlags,
        DescriptorFlags,
    ),
) -> Answering<'_, Open> {
    let call = begin(accessor, &[&path]);
    Box::pin(async move {
        let _call = begun!(call);
        let opened = async {
            expect_handle(accessor)?;
            let view = wasi(accessor);
            let stat = WasiFilesystem::stat_at(&view, again(&dir), path_flags, path.clone());
            let is_new = match stat.await {
                Ok(found) => match found.type_ {
                    // A link is not opened: if links are followed, its target was checked.
                    DescriptorType::RegularFile
                    | DescriptorType::Directory
                    | DescriptorType::SymbolicLink => false,
                    // Opening a pipe blocks until its other end is opened, and devices are not files.
                    _ => return Err(ErrorCode::NotPermitted.into()),
                },
                Err(error) => {
                    let is_missing = matches!(error.downcast_ref(), Some(ErrorCode::NoEntry));
                    if !is_missing || !open_flags.contains(OpenFlags::CREATE) {
                        return Err(error);
                    }
                    true
                }
            };
            if is_new {
                made(accessor, async |wasi: &Wasi| {
                    WasiFilesystem::open_at(wasi, dir, path_flags, path, open_flags, flags).await
                })
                .await
            } else {
                WasiFilesystem::open_at(&view, dir, path_flags, path, open_flags, flags).await
            }
        };
        answer(opened.await)
    })
}

fn set_size(accessor: &Accessor<GuestState>, (file, size): (Open, Filesize)) -> Answering<'_, ()> {
    let call = begin(accessor, &[]);
    Box::pin(async move {
        let _call = begun!(call);
        let set = async {
            let view = wasi(accessor);
            let quota = quota(accessor).filter(|_| !is_beyond_files(size));
            let Some(quota) = quota else {
                return WasiFilesystem::set_size(&view, file, size).await;
            };
            let found = WasiFilesystem::stat(&view, again(&file)).await?;
            let taken = size.saturating_sub(found.size);
            quota.write(taken)?;
            let set = WasiFilesystem::set_size(&view, file, size).await;
            if set.is_err() {
                quota.give_back(taken);
            }
            set
        };
        answer(set.await)
    })
}
