package ask_test

import (
	"context"
	"fmt"
	"image"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/ask"
)

// Why is this a polyp rather than normal mucosa?
func ExampleModel() {
	why := func(ctx context.Context, bundle *inference.Bundle, frame *image.RGBA, colours *explain.ColourMap) error {
		model, err := ask.Open("", bundle, ask.Options{})
		if err != nil {
			return err
		}
		defer model.Close()
		asked, err := model.Ask(ctx, frame, ask.Question{
			Class: "polyp", Against: "normal-mucosa", Methods: []explain.Method{explain.GradCAM, explain.IntegratedGradients},
		})
		if err != nil {
			return err
		}
		painter := &ask.Painter{Colours: colours, Opacity: 0.5}
		return model.Paint(ctx, asked, painter, nil, func(a ask.Answer, p ask.Painting) error {
			fmt.Println(p.Title, p.Layer, p.Remark, p.Picture.Bounds())
			return nil
		})
	}
	_ = why
}
