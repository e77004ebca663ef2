/**
 * @file Unknown names in a pickle: a trainer's own classes, dates, enumerations. Nothing is
 * imported or called, so the result is only the name and its attributes. Names whose only use in
 * a pickle is to run code are refused, since a file that has them is an attack.
 */

import { FormatError } from '../../errors.ts';

/** Modules that start programs, reach the system or the network, or load code. */
const HOSTILE_MODULES = new Set(
  (
    '_pickle asyncio bdb code codeop commands ctypes ftplib http importlib imp marshal multiprocessing nt os pdb pickle ' +
    'pip pkgutil popen2 posix pty requests runpy shutil signal smtplib socket ssl subprocess sys telnetlib tempfile ' +
    'threading timeit urllib urllib2 webbrowser zipimport'
  ).split(' '),
);
const BUILTINS = new Set(['builtins', '__builtin__']);
const HOSTILE_BUILTINS = new Set(
  '__import__ apply breakpoint compile delattr eval exec execfile exit globals input locals open setattr vars'.split(
    ' ',
  ),
);

/** Longer than any name in Python code. Names are compared and joined, so longer ones cost time. */
const MAX_NAME = 1000;

/** Returns the full name of something in a module or class. @throws {FormatError} if it is implausibly long. */
export function qualifiedName(owner: string, name: string, file: string): string {
  if (owner.length + name.length < MAX_NAME) return `${owner}.${name}`;
  throw new FormatError(`${file}: names a class in more than ${MAX_NAME} characters; it is malicious`);
}

/** Checks whether a name is one that only an attack has. */
export function isHostile(module: string, name: string): boolean {
  const [[top = ''], [first = '']] = [module.split('.'), name.split('.')];
  return HOSTILE_MODULES.has(top) || (BUILTINS.has(top) && HOSTILE_BUILTINS.has(first));
}

/** Checks whether a name is Python's `getattr`, with which some enumerations name their members. */
export function isGetattr(module: string, name: string): boolean {
  return BUILTINS.has(module) && name === 'getattr';
}
