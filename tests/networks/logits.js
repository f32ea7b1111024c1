// Logits by onnxruntime: node logits.js MODEL.onnx X.bin N,C,H,W Y.bin
// Exit code 77: onnxruntime-node is not in NODE_PATH.
const fs = require('fs');

function load() {
  try { return require('onnxruntime-node'); } catch (e) { process.exit(77); }
}

async function main([model, from, shape, to]) {
  const ort = load();
  const session = await ort.InferenceSession.create(model, {logSeverityLevel: 3});
  const bytes = fs.readFileSync(from);
  const x = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const input = new ort.Tensor('float32', x, shape.split(',').map(Number));
  const answers = await session.run({[session.inputNames[0]]: input});
  const y = answers[session.outputNames[0]].data;
  fs.writeFileSync(to, Buffer.from(y.buffer, y.byteOffset, y.byteLength));
}

main(process.argv.slice(2)).catch(e => { console.error(String(e)); process.exit(1); });
