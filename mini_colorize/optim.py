"""Chapter 6: Adam, the step schedule, the moving average of the weights.

Notation
    g      gradient of one array          m, v   running mean of g and of g^2
    t      step, from 1                   beta1, beta2   their decays
    lr     learning rate                  decay  weight decay (an L2 penalty's factor)
"""

import numpy as np

from .backend import array_module, as_numbers


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), with weight decay as the authors' Caffe has it.

        g <- g + decay p           (only arrays of convolution weights: 4 dimensions)
        m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr / (1 - beta1^t)  m / (sqrt(v / (1 - beta2^t)) + eps)

    The decay goes through m and v like any gradient; this is not "decoupled" AdamW.
    params: name -> array, updated in place. Memory: two arrays a parameter.
    """

    def __init__(self, params, betas=(0.9, 0.99), eps=1e-8, decay=0.0):
        self.params, self.betas, self.eps, self.decay = params, betas, eps, decay
        self.t = 0
        self.m = {name: array_module(p).zeros_like(p) for name, p in params.items()}
        self.v = {name: array_module(p).zeros_like(p) for name, p in params.items()}

    def step(self, grads, lr):
        """Update every parameter. grads: name -> array, may be overwritten. lr: float."""
        self.t += 1
        beta1, beta2 = self.betas
        step_size = lr / (1 - beta1**self.t)
        root_correction = (1 - beta2**self.t) ** 0.5
        for name, p in self.params.items():
            xp = array_module(p)
            g, m, v = grads[name], self.m[name], self.v[name]
            if self.decay and p.ndim == 4:
                g += self.decay * p
            m += (1 - beta1) * (g - m)
            v *= beta2
            v += (1 - beta2) * xp.square(g)
            denominator = xp.sqrt(v)
            denominator /= root_correction
            denominator += self.eps
            p -= step_size * m / denominator

    def state(self):
        """name -> array, to be saved; t is the number of steps taken."""
        moments = {f"m.{n}": a for n, a in self.m.items()}
        moments.update({f"v.{n}": a for n, a in self.v.items()})
        return {**moments, "t": np.array(self.t)}

    def load_state(self, state):
        """Take over what `state` gave. Raises KeyError or ValueError if it does not fit."""
        for kind, moments in (("m", self.m), ("v", self.v)):
            for name, array in moments.items():
                array[...] = as_numbers(name, state[f"{kind}.{name}"], array)
        self.t = int(state["t"])


def step_schedule(step, lr, every, factor=0.316, drops=2):
    """Learning rate at a step (from 0): multiplied by `factor` after `every` steps, twice in all.

    The authors': lr = 3.16e-5, every about 215,000 of 450,000 steps, factor 0.316 = 10^-1/2.
    """
    return lr * factor ** min(step // every, drops)


class MovingAverage:
    """Exponential moving average of arrays: a smoother network than the last step's.

        average <- average + (1 - d) (now - average),   d = min(decay, (1 + t) / (10 + t))

    The early, smaller d forgets the random start. arrays: name -> array.
    """

    def __init__(self, arrays, decay):
        self.decay, self.t = decay, 0
        self.average = {name: a.copy() for name, a in arrays.items()}

    def update(self, arrays):
        """Take in the arrays as they are now, after one more step."""
        self.t += 1
        d = min(self.decay, (1 + self.t) / (10 + self.t))
        for name, average in self.average.items():
            average += (1 - d) * (arrays[name] - average)
