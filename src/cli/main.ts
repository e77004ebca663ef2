#!/usr/bin/env node
/** @file The `acdit` command. */

import { setImmediate } from 'node:timers/promises';
import { AcditError } from '../errors.ts';
import { reportFailure } from './failure.ts';
import { openTerminal } from './interruption.ts';
import { runCli } from './run.ts';

const terminal = openTerminal(process);
const code = await runCli(process.argv.slice(2), terminal);
await setImmediate(); // a write that failed is reported a moment later
const { aborted, reason } = terminal.signal;
// The work is done, but its output could not be written.
const outputFailed = code === 0 && aborted && reason instanceof AcditError;
process.exitCode = outputFailed ? reportFailure(reason, false, terminal) : code;
