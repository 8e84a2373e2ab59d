"""The entropy laboratory: what one optimiser step did to each token's entropy, beside what each theory foretold."""
