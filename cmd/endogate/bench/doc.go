// Package bench measures the gateway beside stock peers (make bench). All of it are tests with the build tag bench.
package bench
