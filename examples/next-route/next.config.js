/** Packages with native code, or that start processes of their own, are not bundled. */
export default { serverExternalPackages: ['acdit', 'onnxruntime-node', 'sharp'] };
