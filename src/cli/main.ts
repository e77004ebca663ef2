#!/usr/bin/env node
/** @file The `acdit` command. */

import { abortOnInterruption } from './interruption.ts';
import { runCli } from './run.ts';

const terminal = { stdout: process.stdout, stderr: process.stderr, signal: abortOnInterruption() };
process.exitCode = await runCli(process.argv.slice(2), terminal);
