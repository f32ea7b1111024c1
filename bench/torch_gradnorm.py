"""PyTorch's speed on gradient norms, by a backward a row (Debian: python3-torch python3-onnx).

    python3 torch_gradnorm.py SHARED MODEL.onnx SIZE PROCESSES THREADS

PROCESSES at once, of THREADS each; prints images a second of all together, once warm.
"""
import json, multiprocessing, sys, time

SECONDS = 2.0


def work(shared, model, size, threads, start, out):
    sys.path.insert(0, f"{shared}/reference")
    sys.dont_write_bytecode = True
    import torch
    from onnx_torch import OnnxNet
    torch.set_num_threads(threads)
    net = OnnxNet(model)
    parameters = net.params()
    for p in parameters: p.requires_grad_(True)
    x, y = torch.randn(1, 3, size, size), torch.tensor([1])

    def one():
        loss = torch.nn.functional.cross_entropy(net(x), y)
        return sum((g * g).sum() for g in torch.autograd.grad(loss, parameters)).sqrt()

    for _ in range(3): one()
    start.wait()
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS: one(); n += 1
    out.put((n / (time.perf_counter() - began), torch.__version__))


if __name__ == "__main__":
    shared, model, size, processes, threads = sys.argv[1:3] + [int(v) for v in sys.argv[3:6]]
    start, out = multiprocessing.Barrier(processes), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=work, args=(shared, model, size, threads, start, out)) for _ in range(processes)]
    for w in workers: w.start()
    rates = [out.get(timeout=300) for _ in workers]
    for w in workers: w.join()
    print(json.dumps({"peer": "pytorch " + rates[0][1], "images_per_s": sum(r for r, _ in rates)}))
