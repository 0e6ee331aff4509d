"""Training: one generator loop, the average of the weights, and how a killed training goes on."""
