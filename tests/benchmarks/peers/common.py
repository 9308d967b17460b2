"""What the peers share: a training step and a forward pass as jobs."""
import torch


def stepper(network, loss, optimizer):
    """Returns a job: one optimizer step on `loss(network)`."""
    network.train()

    def step():
        optimizer.zero_grad()
        value = loss(network)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return step


def predictor(network, *inputs):
    """Returns a job: one forward pass without gradients."""
    network.eval()

    def predict():
        with torch.inference_mode():
            return network(*inputs)

    return predict
