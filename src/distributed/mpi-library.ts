/**
 * @file The MPI library of this machine, through koffi. Only this file knows koffi, and loads it when it is used. Three
 * binary interfaces are in use, and a library says by its symbols which of them it has.
 */

import type { LibraryHandle } from 'koffi';
import { at } from '../at.ts';
import { attempt, messageOf } from '../attempt.ts';
import { DeviceError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { Launch } from './launcher.ts';

/** Memory as MPI takes it: an array, or where one begins. */
export type Memory = bigint | NodeJS.TypedArray;
/** A handle of MPI, such as a communicator or an element type: a pointer or a number. */
type Handle = bigint | number;

/** What differs between the binary interfaces. */
export interface MpiAbi {
  readonly name: 'Open MPI' | 'MPICH' | 'MPI 5';
  /** C type of handles. */
  readonly handle: 'void *' | 'int' | 'intptr_t';
  readonly world: Handle;
  readonly byte: Handle;
  readonly float: Handle;
  readonly sum: Handle;
  readonly returnErrors: Handle;
  readonly inPlace: bigint;
  /** The level of `MPI_Init_thread` at which one thread calls MPI. */
  readonly funneled: number;
}

/** From the `mpi.h` of MPICH 4.0; Intel MPI, MVAPICH and Cray MPICH have the same since 2014. */
const MPICH: MpiAbi = {
  name: 'MPICH',
  handle: 'int',
  world: 0x44000000,
  byte: 0x4c00010d,
  float: 0x4c00040a,
  sum: 0x58000003,
  returnErrors: 0x54000001,
  inPlace: -1n,
  funneled: 1,
};

/** From chapter 20 of the MPI 5.0 standard, as in mpi4py's header of August 2026. */
const MPI_5: MpiAbi = {
  name: 'MPI 5',
  handle: 'intptr_t',
  world: 0x101,
  byte: 0x247,
  float: 0x210,
  sum: 0x21,
  returnErrors: 0x143,
  inPlace: 1n,
  funneled: 1024,
};

const OPEN_MPI_FILES = ['libmpi.so.40', 'libmpi.40.dylib'];
const MPICH_FILES = ['libmpich.so.12', 'libmpi.so.12', 'libmpi_cray.so.12', 'libmpi.12.dylib'];
const MPI_5_FILES = ['libmpi_abi.so.1', 'libmpi_abi.so.0', 'libmpi_abi.so', 'libmpi_abi.dylib'];

/** Names of libraries to try, the launcher's own first; `chosen` is the only one if it is given. */
export function libraryNames({ library }: Pick<Launch, 'library'>, chosen: string | undefined): string[] {
  if (chosen) return [chosen];
  const ordered = library === 'MPICH' ? [MPICH_FILES, OPEN_MPI_FILES] : [OPEN_MPI_FILES, MPICH_FILES];
  return [...ordered.flat(), ...MPI_5_FILES, 'libmpi.so', 'libmpi.dylib'];
}

type Koffi = Awaited<ReturnType<typeof loadKoffi>>;

/** Loads koffi. @throws {DeviceError} if it is not installed */
async function loadKoffi() {
  try {
    return (await import('koffi')).default;
  } catch (cause) {
    throw new DeviceError(
      `MPI needs the package koffi, which cannot be loaded here (${messageOf(cause)}); install acdit with its optional ` +
        'dependencies',
      { cause },
    );
  }
}

/** Memory and the end of this process, by the C library. */
export interface Native {
  /** Where an array begins. The caller keeps the array while the address is in use. */
  addressOf(array: NodeJS.TypedArray): bigint;
  /** Ends the process at once, even while a thread is in MPI: `process.exit` would wait for it for ever. */
  exit(code: number): never;
}

/** Opens the C library. @throws {DeviceError} if koffi is not installed */
export async function openNative(): Promise<Native> {
  const koffi = await loadKoffi();
  const exit = koffi.load(null).func('_exit', 'void', ['int']);
  return { addressOf: (array) => koffi.address(array), exit: exit as unknown as Native['exit'] };
}

/** An MPI library whose processes are connected. All of its functions block, and only one thread may call them. */
export interface Mpi {
  readonly rank: number;
  readonly size: number;
  /** Name and version of the library, such as `Open MPI 4.1.4`. */
  readonly version: string;
  /** The file it was loaded from. */
  readonly file: string;
  /** Sends the same memory from the first rank to all. */
  broadcast(memory: Memory, bytes: number): void;
  /** Brings all ranks the bytes of all, one after another; `counts` are the bytes of each. */
  gatherToAll(bytes: Uint8Array, counts: Int32Array, all: Uint8Array): void;
  /** Brings the first rank the bytes of all at their displacements. */
  gatherToFirst(
    memory: Memory,
    bytes: number,
    all: Memory,
    counts: Int32Array,
    displacements: Int32Array,
  ): void;
  /** Brings all ranks each rank's floats, which are in place. */
  gatherFloats(memory: Memory, counts: Int32Array, displacements: Int32Array): void;
  /** Sends each rank its floats, and receives those of all for this one. */
  exchangeFloats(
    send: Memory,
    sent: Int32Array,
    from: Int32Array,
    receive: Memory,
    received: Int32Array,
    to: Int32Array,
  ): void;
  /** Adds floats to `sum`, in place. */
  addFloats(values: Memory, sum: Memory, count: number): void;
  copy(target: Memory, source: Memory, bytes: number): void;
  finalize(): void;
}

/**
 * Opens the first library of `names` that can be loaded, and connects to the other processes.
 * @throws {DeviceError} if there is none, or MPI cannot be initialized.
 */
export async function openMpi(names: readonly string[]): Promise<Mpi> {
  const koffi = await loadKoffi();
  const { library, file } = loadFirst(koffi, names);
  const abi = abiOf(library);
  const functions = bindFunctions(koffi, library, abi);
  const { world, byte, float, sum } = abi;
  const level = new Int32Array(1);
  functions.init(null, null, abi.funneled, level);
  functions.setErrorHandler(world, abi.returnErrors);
  const [rank, size] = [new Int32Array(1), new Int32Array(1)];
  functions.rank(world, rank);
  functions.size(world, size);
  return {
    rank: at(rank, 0),
    size: at(size, 0),
    version: shortVersion(functions.version()),
    file,
    broadcast: (memory, bytes) => functions.broadcast(memory, bytes, byte, 0, world),
    gatherToAll: (bytes, counts, all) =>
      functions.allGather(bytes, bytes.length, byte, all, counts, startsOf(counts), byte, world),
    gatherToFirst: (memory, bytes, all, counts, displacements) =>
      functions.gather(memory, bytes, byte, all, counts, displacements, byte, 0, world),
    gatherFloats: (memory, counts, displacements) =>
      functions.allGather(abi.inPlace, 0, float, memory, counts, displacements, float, world),
    exchangeFloats: (send, sent, from, receive, received, to) =>
      functions.allToAll(send, sent, from, float, receive, received, to, float, world),
    addFloats: (values, into, count) => functions.reduceLocal(values, into, count, float, sum),
    copy: (target, source, bytes) => functions.copy(target, source, bytes),
    finalize: () => functions.finalize(),
  };
}

/** Starts of parts that follow one another. */
function startsOf(counts: Int32Array): Int32Array {
  let total = 0;
  return counts.map((count) => {
    total += count;
    return total - count;
  });
}

function loadFirst(koffi: Koffi, names: readonly string[]): { library: LibraryHandle; file: string } {
  const problems: string[] = [];
  for (const file of names) {
    try {
      // Open MPI finds its parts by global symbols.
      return { library: koffi.load(file, { global: true, lazy: true }), file };
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  const why = names.length === 1 ? ` (${problems[0]})` : '';
  throw new DeviceError(
    `no MPI library can be loaded: ${names.join(', ')}${why}; install Open MPI or MPICH, the one that the launcher belongs ` +
      'to, or name its library in ACDIT_MPI_LIBRARY',
  );
}

/** Returns the binary interface of a library, which its symbols show. */
function abiOf(library: LibraryHandle): MpiAbi {
  const [major, minor] = [new Int32Array(1), new Int32Array(1)];
  const version = attempt(() => library.func('MPI_Abi_get_version', 'int', ['int *', 'int *']), undefined);
  if (version?.(major, minor) === 0 && at(major, 0) >= 1) return MPI_5;
  const address = (name: string): bigint => library.symbol(name);
  const world = attempt(() => address('ompi_mpi_comm_world'), undefined);
  if (world === undefined) return MPICH;
  return {
    name: 'Open MPI',
    handle: 'void *',
    world,
    byte: address('ompi_mpi_byte'),
    float: address('ompi_mpi_float'),
    sum: address('ompi_mpi_op_sum'),
    returnErrors: address('ompi_mpi_errors_return'),
    inPlace: 1n,
    funneled: 1,
  };
}

/** The functions of a library; they throw if MPI reports an error. */
function bindFunctions(koffi: Koffi, library: LibraryHandle, { handle }: MpiAbi) {
  const text = new Uint8Array(8192); // MPICH's longest version
  const length = new Int32Array(1);
  const errorText = library.func('MPI_Error_string', 'int', ['int', 'void *', 'int *']);
  const bind = (name: string, ...types: string[]) => {
    const call = library.func(name, 'int', types);
    return (...given: unknown[]): void => {
      const code = call(...given);
      if (code === 0) return;
      const known = errorText(code, text, length) === 0;
      throw new DeviceError(`${name} failed: ${known ? decode(text, length) : `error ${code}`}`);
    };
  };
  const [memory, counts] = ['void *', 'void *'];
  return {
    init: bind('MPI_Init_thread', memory, memory, 'int', 'int *'),
    finalize: bind('MPI_Finalize'),
    rank: bind('MPI_Comm_rank', handle, 'int *'),
    size: bind('MPI_Comm_size', handle, 'int *'),
    setErrorHandler: bind('MPI_Comm_set_errhandler', handle, handle),
    broadcast: bind('MPI_Bcast', memory, 'int', handle, 'int', handle),
    allGather: bind('MPI_Allgatherv', memory, 'int', handle, memory, counts, counts, handle, handle),
    gather: bind('MPI_Gatherv', memory, 'int', handle, memory, counts, counts, handle, 'int', handle),
    allToAll: bind('MPI_Alltoallv', memory, counts, counts, handle, memory, counts, counts, handle, handle),
    reduceLocal: bind('MPI_Reduce_local', memory, memory, 'int', handle, handle),
    version(): string {
      bind('MPI_Get_library_version', memory, 'int *')(text, length);
      return decode(text, length);
    },
    copy: koffi.load(null).func('memcpy', 'void *', [memory, memory, 'size_t']),
  };
}

function decode(text: Uint8Array, length: Int32Array): string {
  return printable(
    new TextDecoder()
      .decode(text.subarray(0, at(length, 0)))
      .replace(/\0.*$/s, '')
      .trim(),
  );
}

/** Name and version from the texts of libraries: `Open MPI v4.1.4, package: ...`, `MPICH Version: 4.0.2 ...`. */
export function shortVersion(text: string): string {
  const [, name, version] = /^(.*?) (?:Library )?(?:Version:?\s*|v)(\d[\w.-]*)/i.exec(text) ?? [];
  return name === undefined ? text.slice(0, 60) : `${name} ${version}`;
}
