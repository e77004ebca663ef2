/** @file Third-party code and licences of packages that have no licence file for them. URLs and copyright are from the projects. */

/** Software of another project inside a package. */
export interface Part {
  readonly name: string;
  /** An SPDX expression, or the package's own words for it. */
  readonly licence: string;
  /** Who holds the copyright; missing where the package names the licence only. */
  readonly copyright?: string;
  /** Where its source code is. */
  readonly source?: string;
}

/** The contents of a bundle, and what its licences require. */
export interface Bundle {
  readonly note: string;
  readonly parts: readonly Part[];
}

/** Copyright of packages without a licence file; their licence is the one that their `package.json` declares. */
export const COPYRIGHT: Readonly<Record<string, string>> = {
  '@bufbuild/protobuf':
    'Copyright 2021-2026 Buf Technologies, Inc. (Apache-2.0); Copyright 2008 Google Inc. (BSD-3-Clause)',
  'gearhash-jit': 'Copyright (c) the authors of gearhash-jit',
  'guid-typescript': 'Copyright (c) the authors of guid-typescript',
  'onnxruntime-common': 'Copyright (c) Microsoft Corporation',
  'onnxruntime-node': 'Copyright (c) Microsoft Corporation',
  'onnxruntime-web': 'Copyright (c) Microsoft Corporation',
};

/** Requirements of libvips' licence; the list of its libraries is in its package. */
export const LIBVIPS_NOTE =
  'sharp loads libvips as a shared library of its own, `@img/sharp-libvips-<platform>`; on Windows and in WebAssembly it is ' +
  "part of sharp's package. libvips and the libraries marked LGPLv3 are under the GNU Lesser General Public License, " +
  'version 3 or later. acdit does not contain or modify them: npm installs them, and another build of libvips can take ' +
  "their place, as sharp's documentation describes. The source code and the build scripts are at " +
  'https://github.com/lovell/sharp-libvips.';

const EMSCRIPTEN: readonly Part[] = [
  {
    name: 'Emscripten runtime',
    licence: 'MIT',
    copyright: 'Copyright (c) 2010-2014 Emscripten authors, see AUTHORS file',
    source: 'https://github.com/emscripten-core/emscripten',
  },
  {
    name: 'musl',
    licence: 'MIT',
    copyright: 'Copyright (c) 2005-2020 Rich Felker, et al.',
    source: 'https://musl.libc.org',
  },
  {
    name: 'libc++, libc++abi and compiler-rt',
    licence: 'Apache-2.0 WITH LLVM-exception',
    copyright: 'Copyright (c) the LLVM Project contributors',
    source: 'https://github.com/llvm/llvm-project',
  },
];

/** Linked into every build of ONNX Runtime that runs ONNX models on the CPU. */
const ONNX_RUNTIME: readonly Part[] = [
  {
    name: 'Abseil',
    licence: 'Apache-2.0',
    copyright: 'Copyright the Abseil Authors',
    source: 'https://github.com/abseil/abseil-cpp',
  },
  {
    name: 'Boost.Mp11',
    licence: 'BSL-1.0',
    copyright: 'Copyright Peter Dimov and contributors',
    source: 'https://github.com/boostorg/mp11',
  },
  {
    name: 'Dawn',
    licence: 'BSD-3-Clause',
    copyright: 'Copyright 2017-2023 The Dawn & Tint Authors',
    source: 'https://dawn.googlesource.com/dawn',
  },
  {
    name: 'date',
    licence: 'MIT',
    copyright: 'Copyright (c) Howard Hinnant and contributors',
    source: 'https://github.com/HowardHinnant/date',
  },
  {
    name: 'Eigen',
    licence: 'MPL-2.0',
    copyright: 'Copyright the Eigen authors',
    source: 'https://gitlab.com/libeigen/eigen',
  },
  {
    name: 'FlatBuffers',
    licence: 'Apache-2.0',
    copyright: 'Copyright Google Inc.',
    source: 'https://github.com/google/flatbuffers',
  },
  {
    name: 'GSL',
    licence: 'MIT',
    copyright: 'Copyright (c) 2015 Microsoft Corporation',
    source: 'https://github.com/microsoft/GSL',
  },
  {
    name: 'JSON for Modern C++',
    licence: 'MIT',
    copyright: 'Copyright (c) 2013-2019 Niels Lohmann',
    source: 'https://github.com/nlohmann/json',
  },
  {
    name: 'KleidiAI',
    licence: 'Apache-2.0',
    copyright: 'Copyright Arm Limited and/or its affiliates',
    source: 'https://gitlab.arm.com/kleidi/kleidiai',
  },
  {
    name: 'ONNX',
    licence: 'Apache-2.0',
    copyright: 'Copyright (c) ONNX Project Contributors',
    source: 'https://github.com/onnx/onnx',
  },
  {
    name: 'Protocol Buffers',
    licence: 'BSD-3-Clause',
    copyright: 'Copyright 2008 Google Inc.',
    source: 'https://github.com/protocolbuffers/protobuf',
  },
  {
    name: 'RE2',
    licence: 'BSD-3-Clause',
    copyright: 'Copyright (c) 2009 The RE2 Authors',
    source: 'https://github.com/google/re2',
  },
  {
    name: 'SafeInt',
    licence: 'MIT',
    copyright: 'Copyright (c) 2018 Microsoft',
    source: 'https://github.com/dcleblanc/SafeInt',
  },
];

const ONNX_RUNTIME_NOTICES =
  'The complete list is ThirdPartyNotices.txt of the same version at https://github.com/microsoft/onnxruntime.';

/** For platforms where libvips does not have a separate package. */
const WITH_LIBVIPS: Bundle = {
  note: 'Contains libvips and its libraries, as in `@img/sharp-libvips-<platform>`.',
  parts: [
    {
      name: 'libvips and its libraries',
      licence: 'LGPL-3.0-or-later',
      copyright: 'Copyright the authors of libvips and of its libraries',
      source: 'https://github.com/lovell/sharp-libvips',
    },
  ],
};

/** By package. */
export const BUNDLES: Readonly<Record<string, Bundle>> = {
  '@img/sharp-wasm32': WITH_LIBVIPS,
  '@img/sharp-win32-<cpu>': WITH_LIBVIPS,
  'h264-mp4-encoder': {
    note:
      'The package is MIT; the WebAssembly inside it also contains other projects: libmp4v2 is under the Mozilla Public License 1.1, and ' +
      'its source code, with the changes that were made, is at the address below. acdit writes MP4 files with mediabunny; ' +
      "libmp4v2 comes with the encoder's file.",
    parts: [
      {
        name: 'libmp4v2',
        licence: 'MPL-1.1',
        copyright: 'Portions created by Cisco Systems Inc. are Copyright (C) Cisco Systems Inc. 2000-2005',
        source: 'https://github.com/TrevorSundberg/libmp4v2',
      },
      {
        name: 'minih264',
        licence: 'CC0-1.0',
        copyright: 'dedicated to the public domain by its authors',
        source: 'https://github.com/TrevorSundberg/minih264',
      },
      ...EMSCRIPTEN,
    ],
  },
  koffi: {
    note: "koffi's prebuilt binaries are compiled with these headers of Node.",
    parts: [
      {
        name: 'node-addon-api',
        licence: 'MIT',
        copyright: 'Copyright (c) 2017 Node.js API collaborators',
        source: 'https://github.com/nodejs/node-addon-api',
      },
      {
        name: 'node-api-headers',
        licence: 'MIT',
        copyright: 'Copyright (c) 2021 Node.js',
        source: 'https://github.com/nodejs/node-api-headers',
      },
    ],
  },
  'onnxruntime-node': {
    note: `ONNX Runtime's binaries link these libraries, and those for Windows come with Microsoft's DirectML and DirectX Shader Compiler. ${ONNX_RUNTIME_NOTICES}`,
    parts: [
      ...ONNX_RUNTIME,
      {
        name: 'cpuinfo',
        licence: 'BSD-2-Clause',
        copyright: 'Copyright (c) 2019 Google LLC; Copyright (c) 2017-2018 Facebook Inc.',
        source: 'https://github.com/pytorch/cpuinfo',
      },
    ],
  },
  'onnxruntime-web': {
    note: `ONNX Runtime's WebAssembly links these libraries; Dawn's bindings are in the WebGPU build only. ${ONNX_RUNTIME_NOTICES}`,
    parts: [...ONNX_RUNTIME, ...EMSCRIPTEN],
  },
  mediabunny: {
    note:
      'The package is under the Mozilla Public License 2.0. It is used unmodified; its source code is at ' +
      'https://github.com/Vanilagy/mediabunny.',
    parts: [],
  },
};
