// onnxruntime's outputs for given rows, to compare with ddg's.
// usage: NODE_PATH=... node ort_outputs.js MODEL.onnx IN OUT ROWS SIZE
// IN: f32 [ROWS,3,SIZE,SIZE]; OUT gets the first output, f32. Prints how many numbers that is.
const ort = require('onnxruntime-node'), fs = require('fs');
const [model, from, to, ...n] = process.argv.slice(2), [rows, size] = n.map(Number);
(async () => {
  const session = await ort.InferenceSession.create(model, {graphOptimizationLevel: 'all'});
  const bytes = fs.readFileSync(from);
  const data = new Float32Array(bytes.buffer, bytes.byteOffset, rows * 3 * size * size);
  const x = new ort.Tensor('float32', Float32Array.from(data), [rows, 3, size, size]);
  const y = (await session.run({[session.inputNames[0]]: x}))[session.outputNames[0]].data;
  fs.writeFileSync(to, Buffer.from(y.buffer, y.byteOffset, y.byteLength));
  console.log(y.length);
})();
